"""A run and its re-run, part by part."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganvas.engine.runs import read_config
from ganvas.proof import inputs
from ganvas.proof.comparison import (
    Comparison,
    First,
    Moved,
    Trace,
    compare_metrics,
    compare_pictures,
    compare_traces,
    moved_metrics,
    read_metrics,
    read_trace,
    relative,
)
from ganvas.proof.remeasure import compare_evaluations
from ganvas.proof.weights import compare_weights
from ganvas.tracking.files import read_run_json

if TYPE_CHECKING:
    from ganvas.proof.reproduction import Reproduction
    from ganvas.proof.settings import ReproduceSettings


@dataclass(frozen=True)
class Tables:
    """What a run logged, read before its re-run begins."""

    trace: Trace
    metrics: dict[tuple[int, str], list[float]]


def compare(
    done: Reproduction,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    tables: Tables,
) -> None:
    """Fills in what was found, and the conditions that only the re-run tells.

    Args:
        done: with its re-run.
        record: of the run.
        settings: of the command.
        tables: of the run.

    Raises:
        RunError: if a table of the re-run can't be read.
    """
    assert done.outcome is not None
    folder, again, last = done.original.folder, done.outcome.folder, done.reach.last
    now, found = read_run_json(again), done.comparison
    done.conditions += inputs.check_built(record, now, done.conditions)
    trace, metrics = tables.trace, tables.metrics
    if trace.rows:
        traced = None if last is None else min(last, trace.last)
        found.first = compare_traces(trace, read_trace(again), last=traced)
        text = f"{traced or trace.last:,} steps × {len(trace.columns)} terms"
        found.add("trace", "equal" if found.first is None else "differs", text)
    else:
        found.add("trace", "not compared", "the record has none")
    recorded = inputs.weights_told(record, folder)
    compare_weights(found, recorded, now.get("weights") or {}, folders=(folder, again), last=last)
    loose = _around_resumes(record, read_config(folder))
    both = metrics, read_metrics(again)
    _compare_values(found, record, now, both, settings, last=last, loose=loose)
    num, faults = compare_pictures(folder, again, last=last, loose=loose)
    if num:
        text = faults[0] if faults else f"{num}, pixel by pixel"
        found.add("pictures", "differs" if faults else "equal", text)
    compare_evaluations(found, record, again, settings, whole=last is None)


def _around_resumes(record: Mapping[str, Any], config: Mapping[str, Any]) -> set[int]:
    """From each step that the run went on from to the end of its window of logging."""
    every = int(config["trainer"].get("log_every_n_steps") or 1)
    began = [int(part["from_step"]) for part in record.get("resumed") or []]
    return {step for first in began for step in range(first, -(-first // every) * every + 1)}


def _compare_values(
    found: Comparison,
    record: Mapping[str, Any],
    now: Mapping[str, Any],
    tables: tuple[Any, Any],
    settings: ReproduceSettings,
    *,
    last: int | None,
    loose: Collection[int],
) -> None:
    """Rows of metrics, and final and best values with their protocol."""
    num, rows = compare_metrics(*tables, last=last, loose=loose) if tables[0] else (0, [])
    if not num:
        found.add("metrics.csv", "not compared", "the record has no rows in common")
    else:
        text = f"{num:,} values" + (f", {len(rows):,} differ" if rows else "")
        found.add("metrics.csv", "differs" if rows else "equal", text)
    if rows and found.first is None:
        found.first = rows[0]
    moved: list[Moved] = []
    whole = last is None and bool(record.get("metrics"))
    if whole and record.get("protocol") == now.get("protocol"):
        num, moved = moved_metrics(record["metrics"], now["metrics"], tolerance=settings.tolerance)
        found.measured = num > 0
        text = f"{num} values" + (f", {len(moved)} differ" if moved else "")
        found.add("final and best", "differs" if moved else "equal", text)
    elif whole:
        found.add("final and best", "not compared", "measured by another protocol now")
    if not found.measured or (rows and not moved):
        final = max((row.step for row in rows), default=0)
        moved = [_as_moved(row, settings.tolerance) for row in rows if row.step == final]
        found.measured = found.measured or bool(num)
    found.moved += moved


def _as_moved(row: First, tolerance: float) -> Moved:
    """A value that only one of the two has is beyond any tolerance."""
    was, now = (math.nan if v is None else v for v in (row.recorded, row.here))
    return Moved(f"{row.term} at {row.step}", was, now, relative(was, now, tolerance))
