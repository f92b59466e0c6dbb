"""A run and its re-run, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganvas.proof import inputs
from ganvas.proof.comparison import (
    Comparison,
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
        found.first = compare_traces(trace, read_trace(again), last=last)
        text = f"{min(trace.last, last or trace.last):,} steps × {len(trace.columns)} terms"
        found.add("trace", "equal" if found.first is None else "differs", text)
    else:
        found.add("trace", "not compared", "the record has none")
    recorded = inputs.weights_told(record, folder)
    compare_weights(found, recorded, now.get("weights") or {}, folders=(folder, again), last=last)
    _compare_values(found, record, now, (metrics, read_metrics(again)), settings, last=last)
    num, faults = compare_pictures(folder, again, last=last)
    if num:
        text = faults[0] if faults else f"{num}, pixel by pixel"
        found.add("pictures", "differs" if faults else "equal", text)
    compare_evaluations(found, record, again, settings, whole=last is None)


def _compare_values(
    found: Comparison,
    record: Mapping[str, Any],
    now: Mapping[str, Any],
    tables: tuple[Any, Any],
    settings: ReproduceSettings,
    *,
    last: int | None,
) -> None:
    """Rows of metrics, and final and best values with their protocol."""
    loose = [int(part["from_step"]) for part in record.get("resumed") or []]
    num, rows = compare_metrics(*tables, last=last, loose=loose)
    if num:
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
        moved = [
            Moved(f"{r.term} at {r.step}", r.recorded, r.here,
                  relative(r.recorded, r.here, settings.tolerance))
            for r in rows if r.step == final and r.recorded is not None and r.here is not None
        ]  # fmt: skip
        found.measured = found.measured or bool(num)
    found.moved += moved
