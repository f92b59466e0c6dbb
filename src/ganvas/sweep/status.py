"""How a sweep goes: from its manifest, and from the records of the runs under way."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganvas.sweep.manifest import Cell, Manifest

COLOURS = {
    "done": "green",
    "failed": "red",
    "interrupted": "yellow",
    "running": "cyan",
    "queued": "dim",
}


def status_table(manifest: Manifest) -> Table:
    """One row per cell."""
    counts = ", ".join(f"{number} {state}" for state, number in manifest.counts().items())
    title = Text(f"{manifest.folder.name}  ({counts})")
    table = Table(title=title, title_justify="left")
    for column, side in (("cell", "right"), ("overrides", "left"), ("state", "left")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    table.add_column("seconds", justify="right")
    table.add_column("reason")
    for cell in manifest.cells:
        table.add_row(*_row(cell))
    return table


def _row(cell: Cell) -> list[Text]:
    seconds = f"{cell.seconds:.1f}" if cell.attempts else ""
    state = Text(cell.state, style=COLOURS[cell.state])
    plain = (str(cell.index), cell.label, seconds, cell.reason or "")
    index, label, spent, reason = map(Text, plain)
    return [index, label, state, spent, reason]


def show_status(folder: Path) -> int:
    """Print how a sweep goes."""
    Console().print(status_table(Manifest.load(folder)))
    return 0
