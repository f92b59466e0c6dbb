"""A comparison in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganvas.report import words
from ganvas.report.flat import ABSENT
from ganvas.report.groups import Group
from ganvas.report.ranking import Comparison

BEST = "*"
_LISTED = 10
_ENDED_BADLY = ("failed", "interrupted", "killed")
_HEAD = 16  # characters in a line of a heading, where its words allow it
_BETWEEN = 2  # characters between two columns


@dataclass(frozen=True)
class Column:
    """Heading (lines), cells, and whether they stand on the right."""

    head: str
    cells: tuple[str, ...]
    right: bool = True
    marked: frozenset[int] = frozenset()

    @property
    def width(self) -> int:
        """Characters of its widest line."""
        texts = [*self.head.split("\n"), *self.cells]
        return max(map(cell_len, texts)) + _BETWEEN


def print_comparison(comparison: Comparison, console: Console) -> None:
    """One table, or several with the same rows where one would not fit; then what is to be said."""
    _say(console, heading(comparison))
    front, legend = _front(comparison, console.width)
    for columns in _parts(front, value_columns(comparison), console.width):
        _say(console, "")
        console.print(_table([*front, *columns], comparison.groups))
    for lines in (legend, list(remarks(comparison))):
        for line in ["", *lines] if lines else []:
            _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def heading(comparison: Comparison, *, mark: str = BEST) -> str:
    """What the table holds, and how the best values are marked."""
    runs, groups = len(comparison.runs), len(comparison.groups)
    weights = "best checkpoint" if comparison.value == "best" else "last weights"
    best = f"; {mark} best" if any(comparison.best.values()) else ""
    return (
        f"{runs} run{'s' * (runs != 1)} in {groups} group{'s' * (groups != 1)}; "
        f"mean ± s.e. over n seeds, {weights}{best}"
    )


def remarks(comparison: Comparison) -> Iterator[str]:
    """Runs that ended badly, what is not ranked and why, what could not be read."""
    bad = [run for run in comparison.runs if run.status in _ENDED_BADLY]
    yield from map(words.unfinished, bad[:_LISTED])
    if len(bad) > _LISTED:
        yield f"and {len(bad) - _LISTED} more that did not finish (format=runs lists all)"
    yield from map(words.printable, comparison.notes)
    yield from (f"not read: {words.printable(problem)}" for problem in comparison.problems)


def key_columns(comparison: Comparison) -> list[Column]:
    """The keys that tell the groups apart."""
    return [
        Column(
            words.printable(key),
            tuple(words.printable(group.keys.get(key, ABSENT)) for group in comparison.groups),
            right=False,
        )
        for key in comparison.keys
    ]


def value_columns(comparison: Comparison) -> list[Column]:
    """Runs by status, seeds, metrics, time, memory."""
    groups = comparison.groups
    columns = [
        Column("runs", tuple(map(words.counts, groups)), right=False),
        Column("n", tuple(str(group.seeds) for group in groups)),
    ]
    for name, higher in comparison.metrics.items():
        best = comparison.best.get(name, frozenset())
        columns.append(
            Column(
                _broken(words.printable(name)) + _ARROWS[higher],
                tuple(words.told(group.values[name], group) for group in groups),
                marked=frozenset(i for i, group in enumerate(groups) if group.id in best),
            )
        )
    columns.append(Column("time", tuple(words.seconds(group.seconds) for group in groups)))
    for part in dict.fromkeys(part for group in groups for part in group.peak_mib):
        cells = tuple(words.memory(group.peak_mib.get(part)) for group in groups)
        columns.append(Column("memory" if part == "process" else f"{part}\nmemory", cells))
    return columns


def _broken(name: str) -> str:
    """A metric's name in lines: after its split, and within long names after a `_`."""
    split, slash, part = name.partition("/")
    lines = [""]
    for word in part.split("_"):
        if lines[-1] and len(lines[-1]) + len(word) > _HEAD:
            lines.append("")
        lines[-1] += f"{word}_"
    return "\n".join([split + slash, *lines])[:-1]


_ARROWS = {True: " ↑", False: " ↓", None: ""}


def _front(comparison: Comparison, width: int) -> tuple[list[Column], list[str]]:
    """The columns that each part repeats: the keys, or numbers with a legend if they are wide."""
    keys = key_columns(comparison)
    widest = max((column.width for column in value_columns(comparison)), default=0)
    if sum(column.width for column in keys) + widest <= width:
        return keys, []
    numbers = [f"#{index}" for index in range(1, len(comparison.groups) + 1)]
    legend = [
        f"{name}  {words.printable(group.label)}"
        for name, group in zip(numbers, comparison.groups, strict=True)
    ]
    return [Column("group", tuple(numbers), right=False)], legend


def _parts(front: Sequence[Column], columns: Sequence[Column], width: int) -> list[list[Column]]:
    """As many columns at a time as fit beside the front ones."""
    free = width - sum(column.width for column in front)
    parts = list(_filled(columns, free))
    while len(narrower := list(_filled(columns, free - 1))) == len(parts) and free > 1:
        free, parts = free - 1, narrower  # parts of about the same width
    return parts


def _filled(columns: Sequence[Column], free: int) -> Iterator[list[Column]]:
    part: list[Column] = []
    for column in columns:
        if part and sum(c.width for c in [*part, column]) > free:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _table(columns: Sequence[Column], groups: Sequence[Group]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        head = Text(column.head, justify="right" if column.right else "left")
        table.add_column(head, justify="right" if column.right else "left", overflow="fold")
    for index in range(len(groups)):
        table.add_row(*(_cell(column, index) for column in columns))
    return table


def _cell(column: Column, index: int) -> Text:
    text = column.cells[index]
    if not column.marked:
        return Text(text)
    mark = BEST if index in column.marked else " "
    return Text(f"{text} {mark}", style="bold" if index in column.marked else "")
