"""Two runs of one config side by side: trace, metrics, weights, pictures."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from ganvas.errors import RunError
from ganvas.tracking.tables import METRICS_FILE, TRACE_FILE

Outcome = Literal["equal", "differs", "not compared"]

TIMED = ("images_per_second", "seconds")
"""Ends of the names of what no two runs have in common."""
_PICTURE = re.compile(r".*-(\d{8})\.png")


@dataclass(frozen=True)
class Part:
    """One part of two records.

    Attributes:
        name: what was compared.
        outcome: how it ended.
        text: how much was compared, or what differs, or why it was not compared.
    """

    name: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class First:
    """Where two tables first differ.

    Attributes:
        table: "trace.csv" or "metrics.csv".
        step: of the row.
        term: of the column, or name of the metric.
        recorded: value; None where there is none.
        here: value of the re-run; None where there is none.
    """

    table: str
    step: int
    term: str
    recorded: float | None
    here: float | None


@dataclass(frozen=True)
class Moved:
    """A metric that differs.

    Attributes:
        name: with `final`, `best`, or the step that it is of.
        recorded: value.
        here: value of the re-run.
        tolerance: largest difference that is allowed.
        decides: whether the verdict asks it: metrics without a direction are shown alone.
    """

    name: str
    recorded: float
    here: float
    tolerance: float
    decides: bool = True

    @property
    def difference(self) -> float:
        """Of the re-run to the record."""
        return self.here - self.recorded

    @property
    def within(self) -> bool:
        """Whether the tolerance allows it; never of NaN or infinities that differ."""
        return abs(self.difference) <= self.tolerance


@dataclass
class Comparison:
    """What was found.

    Attributes:
        parts: in the order of looking.
        first: earliest difference of the tables.
        moved: metrics that differ.
        measured: whether there were metrics that a tolerance could be asked of.
    """

    parts: list[Part] = field(default_factory=list)
    first: First | None = None
    moved: list[Moved] = field(default_factory=list)
    measured: bool = False

    def add(self, name: str, outcome: Outcome, text: str) -> None:
        """One more part."""
        self.parts.append(Part(name, outcome, text))


@dataclass(frozen=True)
class Trace:
    """`trace.csv`, cells as text; one row per step, the step first."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def last(self) -> int:
        """The last step, 0 of no rows."""
        return int(self.rows[-1][0]) if self.rows else 0


def read_trace(folder: Path) -> Trace:
    """The trace of a run; empty where there is none.

    Raises:
        RunError: if it is damaged.
    """
    rows = _rows(folder / TRACE_FILE)
    header = next(rows, ["step"])
    body = tuple(map(tuple, rows))
    for row in body:
        if len(row) != len(header) or not row[0].isdecimal():
            raise RunError(
                f"{folder / TRACE_FILE} is damaged at `{','.join(row)[:60]}`; restore it"
            )
    return Trace(tuple(header[1:]), body)


def read_metrics(folder: Path) -> dict[tuple[int, str], list[float]]:
    """Values of `metrics.csv` by step and name, without those that measure time.

    Raises:
        RunError: if it is damaged.
    """
    found: dict[tuple[int, str], list[float]] = {}
    rows = _rows(folder / METRICS_FILE)
    next(rows, None)
    try:
        for step, _, _, name, value in rows:
            if not name.endswith(TIMED):
                found.setdefault((int(step), name), []).append(float(value))
    except ValueError as error:
        raise RunError(f"{folder / METRICS_FILE} is damaged: {error}; restore it") from error
    return found


def _rows(file: Path) -> Iterator[list[str]]:
    """Complete lines alone: a killed process may have left a half of one."""
    if file.is_file():
        with file.open(encoding="utf-8", newline="") as lines:
            yield from csv.reader(line for line in lines if line.endswith("\n"))


def compare_traces(recorded: Trace, here: Trace, *, last: int | None) -> First | None:
    """The first cell that differs, in full precision; `last` is the last step to look at."""
    columns = tuple(dict.fromkeys([*recorded.columns, *here.columns]))
    alike = recorded.columns == here.columns
    for old, new in zip_longest(_until(recorded, last), _until(here, last)):
        if alike and old == new:
            continue
        step = min(int(row[0]) for row in (old, new) if row is not None)
        cells = [_cells(t, row, step) for t, row in ((recorded, old), (here, new))]
        for term in columns:
            was, now = (side.get(term) for side in cells)
            if not _equal(was, now):
                return First(TRACE_FILE, step, term, was, now)
        if (old is None) != (new is None):  # a row of empty cells against none
            return First(TRACE_FILE, step, "(row)", None, None)
    return None


def _until(trace: Trace, last: int | None) -> Iterator[tuple[str, ...]]:
    return (row for row in trace.rows if last is None or int(row[0]) <= last)


def _cells(trace: Trace, row: Sequence[str] | None, step: int) -> dict[str, float]:
    if row is None or int(row[0]) != step:
        return {}
    return {name: float(cell) for name, cell in zip(trace.columns, row[1:], strict=True) if cell}


def _equal(a: float | None, b: float | None) -> bool:
    """Bit for bit but for the payload of NaN: the shortest text of a float is its own."""
    return repr(a) == repr(b)


def compare_metrics(
    recorded: Mapping[tuple[int, str], Sequence[float]],
    here: Mapping[tuple[int, str], Sequence[float]],
    *,
    last: int | None,
    loose: Collection[int] = (),
) -> tuple[int, list[First]]:
    """How many rows were compared, and those that differ, in the order of steps.

    Args:
        recorded: of the run.
        here: of the re-run.
        last: last step of a prefix, whose rows count where both runs have them.
        loose: steps around those where the run once ended and went on: its means are over other
            windows there.
    """
    found, compared = [], 0
    for key in sorted({*recorded, *here}, key=lambda k: k[0]):
        step, name = key
        old, new = recorded.get(key), here.get(key)
        one_sided = old is None or new is None
        if last is not None and (step > last or one_sided):
            continue
        if step in loose and (one_sided or name.startswith("train/")):
            continue
        compared += 1
        for was, now in zip_longest((old or [])[-1:], (new or [])[-1:]):
            if not _equal(was, now):
                found.append(First(METRICS_FILE, step, name, was, now))
    return compared, found


def moved_metrics(
    recorded: Mapping[str, Any], here: Mapping[str, Any], *, tolerance: float
) -> tuple[int, list[Moved]]:
    """Final and best values of `run.json`: how many there are, and those that differ."""
    compared, found = 0, []
    directed = any("higher_is_better" in entry for entry in recorded.values())
    for name, entry in recorded.items():
        decides = "higher_is_better" in entry or not directed
        for which in ("final", "best"):
            old, new = entry.get(which), (here.get(name) or {}).get(which)
            if old is None:
                continue
            compared += 1
            was, now = float(old["value"]), math.nan if new is None else float(new["value"])
            if not _equal(was, now):
                allowed = relative(was, now, tolerance)
                found.append(Moved(f"{name} {which}", was, now, allowed, decides))
    return compared, found


def relative(a: float, b: float, tolerance: float) -> float:
    """The difference that a relative tolerance allows."""
    largest = max(abs(a), abs(b))
    return tolerance * largest if math.isfinite(largest) else 0.0


def compare_pictures(
    recorded: Path, here: Path, *, last: int | None, loose: Collection[int] = ()
) -> tuple[int, list[str]]:
    """How many of `samples/*.png` were compared, and what differs, a line for each."""
    import numpy as np
    from PIL import Image

    found, compared = [], 0
    for file in sorted((recorded / "samples").glob("*.png")):
        match = _PICTURE.fullmatch(file.name)
        other = here / "samples" / file.name
        if match is None or (last is not None and int(match[1]) > last):
            continue
        if not other.is_file() and (last is not None or int(match[1]) in loose):
            continue  # a run that ended there showed what it had
        compared += 1
        if not other.is_file():
            found.append(f"{file.name}: the re-run made none")
            continue
        old, new = (np.asarray(Image.open(f).convert("RGB"), dtype=int) for f in (file, other))
        if old.shape != new.shape:
            found.append(f"{file.name}: another size")
        elif (gap := np.abs(old - new)).any():
            share = float((gap.max(axis=-1) > 0).mean())
            found.append(f"{file.name}: {share:.1%} of pixels, by up to {gap.max()} of 255")
    return compared, found
