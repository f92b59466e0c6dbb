"""What `ganvas train -m check=true` prints: a row for each cell, and what all of them cost."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganvas.sweep.cells import Planned
from ganvas.sweep.estimate import Estimate, Estimator
from ganvas.sweep.slots import Slots

COSTS = ("parameters", "MiB", "steps", "ms/step", "time")
CAPTION = (
    "memory: an estimate, besides what torch itself takes. time: training steps alone, measured "
    "here on random images, one cell at a time; start-up, validation, metrics and pictures come "
    "on top"
)


def print_table(planned: Sequence[Planned], *, slots: Slots, console: Console) -> None:
    """Build every cell, time its steps and print what it takes.

    Args:
        planned: the cells.
        slots: room for jobs on this machine.
        console: where it is printed.

    Raises:
        ConfigError: a cell can't be built.
    """
    estimator = Estimator(threads=slots.threads)
    with console.status("Timing a few training steps of each kind of cell …"):
        found = [estimator(one.checked) for one in planned]
    console.print(_table(planned, found))
    console.print(summary(found, num_jobs=slots.num_jobs), soft_wrap=True, highlight=False)
    console.print("The configs are good. Nothing was trained.")


def _table(planned: Sequence[Planned], found: Sequence[Estimate]) -> Table:
    models = [one.checked.choices.get("model", "?") for one in planned]
    same = len(set(models)) == 1
    apart = not same and not all("model=" in one.label for one in planned)  # of experiments, say
    table = Table(
        title=f"model={models[0]}" if same else None,
        title_justify="left",
        caption=CAPTION,
        caption_justify="left",
    )
    table.add_column("cell", justify="right")
    table.add_column("overrides", overflow="fold")
    for column in (*(("model",) if apart else ()), *COSTS):
        table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
    for index, (one, model, cost) in enumerate(zip(planned, models, found, strict=True)):
        texts = (str(index), one.label, *((model,) if apart else ()), *_cost(cost))
        table.add_row(*map(Text, texts))
    return table


def _cost(cost: Estimate) -> tuple[str, ...]:
    steps = "unknown" if cost.num_steps is None else f"{cost.num_steps:,}"
    step = "not timed" if cost.step_seconds is None else _two_digits(1000 * cost.step_seconds)
    time = "" if cost.seconds is None else duration(cost.seconds)
    return f"{cost.num_parameters:,}", f"{cost.memory_mib:,.0f}", steps, step, time


def summary(found: Sequence[Estimate], *, num_jobs: int) -> str:
    """How many cells, and how long they take, as they are given to free slots in order."""
    known = [cost.seconds for cost in found if cost.seconds is not None]
    free = [0.0] * num_jobs
    for seconds in known:
        heapq.heapreplace(free, free[0] + seconds)
    text = f"{len(found)} cell{'s' * (len(found) != 1)}, {num_jobs} at once"
    if not known:
        return f"{text}: time unknown"
    left = len(found) - len(known)
    more = f", and {left} of unknown time" if left else ""
    return f"{text}: about {duration(max(free))} of training steps{more}"


def duration(seconds: float) -> str:
    """Two digits are all that an estimate is good for."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds)} s"


def _two_digits(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"  # noqa: PLR2004
