"""What `ganvas evaluate` has recorded of a run, measured again on its re-run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.command import command_settings
from ganvas.engine.evaluate import evaluate, names_measures
from ganvas.engine.settings import EvaluateSettings
from ganvas.errors import GanvasError
from ganvas.evaluation.result import Result, differing
from ganvas.proof.comparison import Comparison, Moved, relative
from ganvas.tracking.files import read_run_json

if TYPE_CHECKING:
    from ganvas.proof.settings import ReproduceSettings

PART = "evaluations"
_OF_THIS_CALL = ("trust=", "paths.", "full_error=", "--config-dir", "-cd")
_ERRORS = 2.0
"""Combined standard errors that two values may be apart."""


def compare_evaluations(
    comparison: Comparison,
    record: Mapping[str, Any],
    folder: Path,
    settings: ReproduceSettings,
    *,
    whole: bool,
) -> None:
    """Measures by the recorded commands on the re-run, and adds what was found.

    Args:
        comparison: gets a part, and the values that differ.
        record: of the run.
        folder: of the re-run.
        settings: of the command.
        whole: whether all of the run was repeated.
    """
    stored = [Result.from_dict(result) for result in record.get("evaluations") or []]
    if not stored:
        return
    if not whole or not settings.evaluations:
        why = "evaluations=false" if whole else "the re-run has no final weights"
        comparison.add(PART, "not compared", f"{len(stored)} not measured again: {why}")
        return
    again: dict[tuple[str, ...], list[Result] | str] = {}
    equal, left = 0, []
    for result in stored:
        found = _again(result, again, folder, settings)
        if isinstance(found, str):
            left.append(f"{result.split}/{result.name}: {found}")
        elif _compare(comparison, result, found, tolerance=settings.tolerance):
            equal += 1
    moved = len(stored) - equal - len(left)
    if equal or moved:
        text = f"{equal + moved} values" + (f", {moved} differ" if moved else "")
        comparison.add(PART, "differs" if moved else "equal", text)
    if left:
        more = f", and {len(left) - 1} more" if len(left) > 1 else ""
        comparison.add(f"{PART} left out", "not compared", left[0] + more)


def _again(
    result: Result,
    known: dict[tuple[str, ...], list[Result] | str],
    folder: Path,
    settings: ReproduceSettings,
) -> Result | str:
    """The same value of the re-run, or why there is none; each command is run once."""
    command = result.provenance.get("command")
    if command is None:
        return "not re-measured, since its command was not recorded"
    key = tuple(map(str, command))
    if key not in known:
        known[key] = _measured(key, folder, settings)
    found = known[key]
    if isinstance(found, str):
        return found
    same = [r for r in found if (r.name, r.split) == (result.name, result.split)]
    if not same:
        return "not measured by that command any more"
    steps = [r.provenance.get("step") for r in (result, same[-1])]
    if steps[0] != steps[1]:
        return f"it was of step {steps[0]}, the re-run's is of step {steps[1]}"
    if fields := differing(result, same[-1]):
        return f"measured by another protocol now ({', '.join(fields)})"
    return same[-1]


def commands_of(record: Mapping[str, Any]) -> list[list[str]]:
    """What was typed after `ganvas evaluate RUN`, each once; less what is of one call."""
    typed = [r["provenance"].get("command") for r in record.get("evaluations") or []]
    unique = dict.fromkeys(tuple(map(str, c)) for c in typed if c is not None)
    return [list(command) for command in unique]


def of_any_call(command: Sequence[str]) -> list[str]:
    """Without the folders and trusted modules of the call it was."""
    return [text for text in command if not text.startswith(_OF_THIS_CALL)]


def _measured(
    command: Sequence[str], folder: Path, settings: ReproduceSettings
) -> list[Result] | str:
    if any(text.startswith("checkpoint=") and "/" in text for text in command):
        return "not re-measured, since it was of a file of weights"
    earlier = [Result.from_dict(r) for r in read_run_json(folder).get("evaluations") or []]
    if earlier := [r for r in earlier if r.provenance.get("command") == list(command)]:
        return earlier  # in the worktree, by the code that trained it
    if settings.checkout:
        return "not re-measured, as the recorded commit could not"
    given = settings.paths.model_dump(exclude={"runs_dir"}, exclude_none=True)
    typed = of_any_call(command)
    try:
        asked = command_settings(EvaluateSettings, "evaluate", str(folder), typed)
        paths = asked.paths.model_copy(update=given)
        asked = asked.model_copy(update={"trust": settings.trust, "paths": paths})
        return evaluate(asked, chosen=names_measures(typed), command=typed)[0]
    except GanvasError as error:
        return f"not re-measured ({str(error).splitlines()[0]})"


def _compare(comparison: Comparison, recorded: Result, here: Result, *, tolerance: float) -> bool:
    """Whether two values of one protocol are equal; if not, it joins the metrics that moved."""
    comparison.measured = True
    was, now = recorded.value, here.value
    if repr(was) == repr(now):
        return True
    spread = [e for e in (recorded.uncertainty, here.uncertainty) if e is not None]
    both = len(spread) == 2  # noqa: PLR2004
    allowed = _ERRORS * math.hypot(*spread) if both else relative(was, now, tolerance)
    name = f"{recorded.split}/{recorded.name} evaluated"
    comparison.moved.append(Moved(name, was, now, allowed, recorded.higher_is_better is not None))
    return False
