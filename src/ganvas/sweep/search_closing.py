"""What a person sees at the end of a search: its best trials, and the commands that train them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganvas.report.search import copied_storage
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.search_plan import STUDY, SearchPlan, recorded
from ganvas.sweep.search_settings import Storage
from ganvas.sweep.search_study import quiet

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SHOWN = 5
FRONT_SHOWN = 15


def print_search(manifest: Manifest, console: Console) -> dict[str, str]:
    """Print the best trials; the command of the best one, or of each on the Pareto front.

    Raises:
        GanvasError: the record of the search is damaged.
        OSError: its study can't be read.
    """
    import optuna

    plan = recorded(manifest.content[STUDY])
    storage = Storage.named(plan.settings.storage, manifest.folder)
    with quiet(), copied_storage(storage.file, sqlite=storage.sqlite) as copy:
        study = optuna.load_study(study_name=plan.settings.study_name, storage=copy)
        trials = study.get_trials()
        best = study.best_trials if any(t.state.name == "COMPLETE" for t in trials) else []
    several = len(plan.objectives) > 1
    if not several:
        console.print(_table(trials, _ranked(trials, plan)[:SHOWN], plan, manifest))
        return {"best": _command(_ranked(trials, plan)[0], plan)} if best else {}
    front = _spread(sorted(best, key=lambda trial: trial.values[0]), FRONT_SHOWN)
    console.print(_table(trials, front, plan, manifest))
    return {f"trial {trial.number}": _command(trial, plan) for trial in _spread(front, 3)}


def print_space(plan: SearchPlan, console: Console) -> None:
    """Print what would be searched."""
    aims = ", ".join(f"{one.name} {'↑' if one.higher else '↓'}" for one in plan.objectives)
    settings = plan.settings
    pruned = "" if plan.watched is None else f", pruned by {settings.pruner} on {plan.watched}"
    sampler = f"{settings.sampler} (seed {settings.seed})"
    title = Text(f"{plan.num_trials} trials by {sampler}, {aims}{pruned}")
    table = Table(title=title, title_justify="left")
    for column in ("key", "chosen from", "checked"):
        table.add_column(column)
    for p in plan.space.parameters:
        table.add_row(*map(Text, (p.key.lstrip("+"), p.text, ", ".join(p.ends))))
    console.print(table)
    console.print("the cells below are the corners of this space, not its trials")


def _spread(trials: list[FrozenTrial], most: int) -> list[FrozenTrial]:
    """At most so many, evenly over the list, both ends among them."""
    if len(trials) <= most:
        return trials
    return [trials[round(i * (len(trials) - 1) / (most - 1))] for i in range(most)]


def _ranked(trials: Sequence[FrozenTrial], plan: SearchPlan) -> list[FrozenTrial]:
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    sign = -1 if plan.objectives[0].higher else 1
    return sorted(complete, key=lambda trial: sign * trial.values[0])


def _table(
    trials: Sequence[FrozenTrial],
    shown: Sequence[FrozenTrial],
    plan: SearchPlan,
    manifest: Manifest,
) -> Table:
    counts = Counter(trial.state.name.lower() for trial in trials)
    said = ", ".join(f"{number} {state}" for state, number in counts.items())
    best = "Pareto front" if len(plan.objectives) > 1 else "best first"
    table = Table(title=Text(f"{len(trials)} trials ({said}); {best}"), title_justify="left")
    for name in ("trial", "cell"):
        table.add_column(name, justify="right")
    for one in plan.objectives:
        table.add_column(f"{one.name} {'↑' if one.higher else '↓'}", justify="right")
    for parameter in plan.space.parameters:
        table.add_column(parameter.key.lstrip("+"), justify="right")
    cells = {cell.trial: str(cell.index) for cell in manifest.cells}
    for trial in shown:
        values = [f"{value:.5g}" for value in trial.values]
        chosen = [p.short(trial.params[p.key]) for p in plan.space.parameters]
        row = (str(trial.number), cells.get(trial.number, ""), *values, *chosen)
        table.add_row(*map(Text, row))
    return table


def _command(trial: FrozenTrial, plan: SearchPlan) -> str:
    dirs = [part for folder in plan.dirs for part in ("--config-dir", folder)]
    return shlex.join(["ganvas", "train", *dirs, *plan.space.overrides(trial.params)])
