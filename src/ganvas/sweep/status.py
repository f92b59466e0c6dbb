"""How a sweep goes: from its manifest, and from the records of the runs under way."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ganvas.sweep.manifest import Manifest
from ganvas.sweep.progress import Overview, Progress, overview

COLOURS = {
    "done": "green",
    "failed": "red",
    "interrupted": "yellow",
    "running": "cyan",
    "queued": "dim",
}
ROWS = 40
"""Of a sweep with more cells, those that are done or queued are only counted."""
LINES_AROUND = 9
REFRESH_SECONDS = 1.0


def show_status(folder: Path) -> int:
    """Print how a sweep goes; on a terminal, for as long as a driver runs it."""
    console = Console()
    state = overview(Manifest.load(folder))
    if state.driver is not None and console.is_terminal:
        state = _watch(folder, console)
    console.print(status_view(state), crop=False)
    return 0


def _watch(folder: Path, console: Console) -> Overview:
    """A table that follows the sweep until nobody runs it any more, or Ctrl-C."""
    state = overview(Manifest.load(folder))
    rows = max(3, console.height - LINES_AROUND)
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while state.driver is not None:
                live.update(status_view(state, rows=rows, watching=True), refresh=True)
                time.sleep(REFRESH_SECONDS)
                state = overview(Manifest.load(folder))
    except KeyboardInterrupt:  # of this table, not of the sweep
        pass
    return state


def status_table(manifest: Manifest) -> Group:
    """As `ganvas sweep status` shows it, less what to do next."""
    return status_view(overview(manifest), advice=False)


def status_view(
    state: Overview, *, rows: int = ROWS, watching: bool = False, advice: bool = True
) -> Group:
    """A summary, a row per cell, and what to do next.

    Args:
        state: of the sweep.
        rows: where there are more cells, first those that are done are left out, then the queued.
        watching: whether the table goes on.
        advice: whether to say what to do next.
    """
    shown, left_out = _chosen(state.cells, rows)
    parts: list[Text | Table] = [_summary(state)]
    if shown:
        parts.append(_table(shown))
    if left_out:
        parts.append(Text(f"not shown: {_counted(left_out)}", style="dim"))
    place = shlex.quote(os.path.relpath(state.folder))
    if watching:
        parts.append(Text("Ctrl-C ends this table, not the sweep", style="dim"))
    elif advice and state.driver is None and any(one.state != "done" for one in state.cells):
        how = "its jobs go on; wait for them" if _submitted(state) else "nobody runs it; go on"
        failed = all(one.state in ("done", "failed") for one in state.cells)
        again = " failed=true" if failed else ""
        said = f"{how}: ganvas sweep resume {place}{again}"  # in one line, to be copied
        parts.append(Text(said, no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _submitted(state: Overview) -> bool:
    """Whether jobs of a cluster are under way, which need no driver."""
    last = [(one.state, one.cell.attempts[-1]) for one in state.cells if one.cell.attempts]
    return any(found in ("queued", "running") and attempt.job for found, attempt in last)


def _chosen(cells: Sequence[Progress], rows: int) -> tuple[list[Progress], list[Progress]]:
    """The cells that have a row, and the others."""
    shown = list(cells)
    for state in ("done", "queued", "interrupted", "failed"):
        if len(shown) > rows:
            shown = [one for one in shown if one.state != state]
    shown = shown[:rows]
    kept = {one.cell.index for one in shown}
    return shown, [one for one in cells if one.cell.index not in kept]


def _counted(cells: Sequence[Progress]) -> str:
    found: dict[str, int] = {}
    for one in cells:
        found[one.state] = found.get(one.state, 0) + 1
    return ", ".join(f"{number} {state}" for state, number in found.items())


def _summary(state: Overview) -> Text:
    counts = state.counts()
    line = Text(f"{state.folder.name}: {len(state.cells)} cells: ")
    for i, (name, number) in enumerate(counts.items()):
        line.append(", " if i else "").append(f"{number} {name}", style=COLOURS[name])
    spent = [one.seconds for one in state.cells if one.state == "done" and one.seconds]
    if spent:
        line.append(f"; {_duration(sum(spent) / len(spent))} a cell")
    if (left := state.seconds_left()) is not None:
        line.append(f", about {_duration(left)} left")
    return line


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _table(cells: Sequence[Progress]) -> Table:
    table = Table()
    on_gpu = any(_gpus(one) for one in cells)
    reasons = any(one.reason for one in cells)
    table.add_column("cell", justify="right")
    table.add_column("overrides", overflow="fold")
    table.add_column("state")
    for name in ("step", "validation", *(["GPU"] if on_gpu else []), "time"):
        table.add_column(name, justify="right", no_wrap=name == "time")
    if reasons:
        table.add_column("reason", overflow="fold")
    for one in cells:
        texts = [_step(one), _value(one), *([_gpus(one)] if on_gpu else []), _time(one)]
        row = [Text(text) for text in texts]
        reason = [Text(one.reason or "")] if reasons else []
        state = Text(one.state, style=COLOURS[one.state])
        table.add_row(Text(str(one.cell.index)), Text(one.cell.label), state, *row, *reason)
    return table


def _gpus(one: Progress) -> str:
    return ",".join(str(gpu) for attempt in one.cell.attempts[-1:] for gpu in attempt.gpus or ())


def _time(one: Progress) -> str:
    return _duration(one.seconds) if one.seconds else ""


def _step(one: Progress) -> str:
    if one.step is None:
        return ""
    return f"{one.step}/{one.steps}" if one.steps else str(one.step)


def _value(one: Progress) -> str:
    return f"{one.value[0].removeprefix('val/')} {one.value[1]:.5g}" if one.value else ""
