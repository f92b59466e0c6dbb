"""`ganvas reproduce RUN`: conditions, a re-run, a comparison, a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.build import build_data
from ganvas.engine.runs import read_config
from ganvas.engine.train import EXIT_FAILED, EXIT_OK
from ganvas.errors import ConfigError
from ganvas.proof import conditions as looked
from ganvas.proof import inputs
from ganvas.proof.comparison import read_metrics, read_trace
from ganvas.proof.elsewhere import code_there, repeat_there
from ganvas.proof.reproduction import Reproduction
from ganvas.proof.rerun import (
    FOLDER,
    check_out,
    reach_of,
    repeat,
    shortened,
    threads,
    to_repeat,
)
from ganvas.proof.side_by_side import Tables, compare
from ganvas.proof.verdict import judge, not_comparable, ruled_out
from ganvas.tracking.files import make_run_folder, read_run_json

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.engine.train import Outcome
    from ganvas.proof.conditions import Condition
    from ganvas.proof.original import Original
    from ganvas.proof.settings import ReproduceSettings

Told = Callable[[Reproduction], None]
"""Is called when the conditions are known, before the re-run."""


def reproduce(original: Original, settings: ReproduceSettings, *, told: Told) -> Reproduction:
    """Look at the conditions, run it again in a new folder, compare, judge, and write that down.

    Raises:
        GanvasError: for bad input, before any work.
    """
    folder = original.folder
    out, record, config = check_out(settings.out), read_run_json(folder), read_config(folder)
    places = settings.places(config.get("paths") or {})
    place = Path(str(places.runs_dir)) / FOLDER
    done = Reproduction(original, settings.tolerance)
    done.conditions = [
        inputs.check_config(record, config, recomposed=original.recomposed),
        inputs.check_history(record),
    ]
    fault = original.fault
    done.verdict = not_comparable(fault) if fault else ruled_out(done.conditions)
    if done.verdict is None:
        try:
            checked = to_repeat(folder, record, settings, places)
        except ConfigError as error:
            checked = None  # a later version may refuse what an earlier one took
            done.verdict = None if settings.checkout else not_comparable(str(error))
    if done.verdict is None:
        _attempt(done, record, config, checked, settings, place=place, out=out, told=told)
    else:
        told(done)
    if done.folder is None:
        done.folder = make_run_folder(place, str(record.get("name") or "run"), folder=out)[1]
    done.write()
    return done


def _attempt(
    done: Reproduction,
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    checked: Checked | None,
    settings: ReproduceSettings,
    *,
    place: Path,
    out: Path | None,
    told: Told,
) -> None:
    """The other conditions, the re-run where they allow one, and the verdict."""
    original, folder = done.original, done.original.folder
    tables = Tables(read_trace(folder), read_metrics(folder))
    saved = inputs.weights_told(record, folder).get("last") or {}
    recorded = max(tables.trace.last, int(saved.get("step") or 0))
    reach = reach_of(record, recorded=recorded, steps=settings.steps)
    done.conditions += _conditions(record, config, checked, original, settings)
    done.verdict = ruled_out(done.conditions)
    if done.verdict is None and reach is None:
        done.verdict = not_comparable(f"the run is {record['status']} and recorded no step")
    if reach is not None:
        done.reach = reach
    told(done)
    if done.verdict is not None:
        return
    if checked is None or settings.checkout:
        repeat_there(done, record, settings, place=place, out=out)
    else:
        _repeat_here(done, record, checked, settings, place=place, out=out)
    if done.verdict is not None or done.outcome is None or not _may_compare(done.outcome, record):
        return
    compare(done, record, settings, tables)
    done.verdict = ruled_out(done.conditions) or judge(
        done.conditions, done.comparison, reach=done.reach.why
    )


def _conditions(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    checked: Checked | None,
    original: Original,
    settings: ReproduceSettings,
) -> list[Condition]:
    """All that can be told before the re-run; the data set is prepared for it.

    Raises:
        DataError: if its images are missing or unreadable.
    """
    found = [looked.check_packages(record)]
    if settings.checkout:
        found.insert(0, code_there(record, original, settings))
    elif checked is not None:
        found = [*looked.check_code(record, checked), *found]
    if checked is not None:
        data, trainer = build_data(checked), checked.settings.trainer
        data.prepare(trainer.devices * trainer.num_nodes)
        parent = inputs.check_parent(record, checked)
        found += [
            looked.check_hardware(record, checked),
            looked.check_threads(record, config, threads=settings.threads),
            looked.check_determinism(record, checked),
            inputs.check_data(record, data.fingerprint),
            *([parent] if parent else []),
        ]
    return [*found, inputs.check_weights(record, original.folder)]


def _repeat_here(
    done: Reproduction,
    record: Mapping[str, Any],
    checked: Checked,
    settings: ReproduceSettings,
    *,
    place: Path,
    out: Path | None,
) -> None:
    """By the code that is running."""
    per_rank = settings.threads or looked.recorded_threads(record, checked.config)
    world = looked.num_ranks(checked.config)
    repeated = shortened(checked, done.reach, trust=settings.trust)
    with threads(per_rank, num_ranks=world):
        done.outcome = repeat(repeated, original=done.original.folder, place=place, folder=out)
    done.folder = done.outcome.folder


def _may_compare(outcome: Outcome, record: Mapping[str, Any]) -> bool:
    """Whether it ended as the run did: at its end, or by a failure too."""
    if outcome.exit_code == EXIT_OK:
        return True
    return record["status"] == "failed" and outcome.exit_code == EXIT_FAILED
