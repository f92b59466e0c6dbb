"""A reproduction as a person reads it: conditions, comparison, verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganvas.proof.verdict import DIVERGED, WITHIN
from ganvas.tracking.sources import checkout

if TYPE_CHECKING:
    from ganvas.proof.reproduction import Reproduction

_MARKS = {"same": "green", "equal": "green", "differs": "red", "unknown": "yellow"}
_SHOWN_METRICS = 12


def print_conditions(done: Reproduction, console: Console) -> None:
    """The table of conditions, with what differs marked."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("condition", "recorded", "here", ""):
        table.add_column(column, overflow="fold")
    for condition in done.conditions:
        here = "" if condition.here == condition.recorded else condition.here
        table.add_row(condition.name, condition.recorded, here, _mark(condition.verdict))
    console.print(table)
    for condition in done.conditions:
        if condition.note:
            _line(console, f"{condition.name}: {condition.note}")
    for text in done.original.lacks:
        _line(console, f"the record lacks {text}")
    if done.reach.why:
        _line(console, done.reach.why)


def print_verdict(done: Reproduction, console: Console) -> None:
    """What was compared, which metrics moved, and the verdict."""
    parts = done.comparison.parts
    if parts:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("compared", "", ""):
            table.add_column(column, overflow="fold")
        for part in parts:
            table.add_row(part.name, _mark(part.outcome), part.text)
        console.print()
        console.print(table)
    if done.comparison.moved:
        console.print()
        console.print(_metrics(done))
    console.print()
    if done.verdict is not None:
        words = Text(done.verdict.words, style="bold")
        words.append(f": {done.verdict.text}", style="not bold")
        console.print(words)
        if advice := _advice(done):
            _line(console, advice)
    else:
        reason = None if done.outcome is None else done.outcome.reason
        _line(console, f"no verdict: the re-run did not end ({reason})")
    if done.folder is not None:
        _line(console, f"{'re-run' if done.outcome else 'report'}: {done.folder}")


def _metrics(done: Reproduction) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("metric", "recorded", "now", "difference", "tolerance"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    moved = sorted(done.comparison.moved, key=lambda m: (m.within, not m.decides))
    for metric in moved[:_SHOWN_METRICS]:
        style = "" if metric.within else "red" if metric.decides else "yellow"
        allowed = f"{metric.tolerance:.2g}" if metric.decides else "(shown alone)"
        table.add_row(
            metric.name, f"{metric.recorded:.7g}", f"{metric.here:.7g}",
            f"{metric.difference:+.2g}", allowed, style=style,
        )  # fmt: skip
    if len(moved) > _SHOWN_METRICS:
        table.caption = f"and {len(moved) - _SHOWN_METRICS} more in reproduction.json"
        table.caption_justify = "left"
    return table


def _mark(verdict: str) -> Text:
    return Text(verdict, style=_MARKS.get(verdict, "yellow"))


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _advice(done: Reproduction) -> str | None:
    """What to try where other code may be the cause."""
    code = next((c for c in done.conditions if c.name == "code"), None)
    other = code is not None and code.verdict == "differs" and done.exit_code in (WITHIN, DIVERGED)
    return "--checkout runs the code of the recorded commit" if other and checkout() else None
