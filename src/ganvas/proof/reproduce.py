"""`ganvas reproduce RUN`: conditions, a re-run, a comparison, a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.build import build_data
from ganvas.engine.train import EXIT_OK, Outcome
from ganvas.errors import ConfigError
from ganvas.proof import conditions as looked
from ganvas.proof import inputs
from ganvas.proof.comparison import (
    Comparison,
    Moved,
    compare_metrics,
    compare_pictures,
    compare_traces,
    moved_metrics,
    read_metrics,
    read_trace,
    relative,
)
from ganvas.proof.conditions import Condition
from ganvas.proof.remeasure import compare_evaluations
from ganvas.proof.rerun import (
    FOLDER,
    Reach,
    check_out,
    reach_of,
    repeat,
    shortened,
    threads,
    to_repeat,
)
from ganvas.proof.verdict import Verdict, judge, not_comparable, ruled_out
from ganvas.proof.weights import compare_weights
from ganvas.tracking import config_hash
from ganvas.tracking.files import make_run_folder, read_run_json, write_json

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.proof.original import Original
    from ganvas.proof.settings import Places, ReproduceSettings

REPORT = "reproduction.json"


@dataclass
class Reproduction:
    """What became of one original.

    Attributes:
        original: that was to be reproduced.
        folder: with the re-run, if there was one, and `reproduction.json`.
        reach: how far it was repeated.
        conditions: that were looked at.
        comparison: what was found.
        verdict: None where the re-run was interrupted or failed.
        tolerance: relative, of metrics.
        outcome: of the re-run; None where there was none.
    """

    original: Original
    tolerance: float
    folder: Path | None = None
    reach: Reach = field(default_factory=Reach)
    conditions: list[Condition] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    verdict: Verdict | None = None
    outcome: Outcome | None = None

    @property
    def exit_code(self) -> int:
        """Of the verdict; without one, of the re-run."""
        if self.verdict is not None:
            return self.verdict.exit_code
        return 1 if self.outcome is None else self.outcome.exit_code

    def as_dict(self) -> dict[str, Any]:
        """What `reproduction.json` holds; infinities and NaN as text."""
        first, verdict = self.comparison.first, self.verdict
        content = {
            "format_version": 1,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "original": {
                "source": self.original.source,
                "kind": self.original.kind,
                "folder": str(self.original.folder),
                "lacks": list(self.original.lacks),
            },
            "reproduction": None if self.outcome is None else str(self.outcome.folder),
            "steps": self.reach.last,
            "reach": self.reach.why or "all of the run",
            "tolerance": self.tolerance,
            "conditions": [asdict(condition) for condition in self.conditions],
            "comparison": [asdict(part) for part in self.comparison.parts],
            "first_difference": None if first is None else asdict(first),
            "metrics": [
                {**asdict(m), "difference": m.difference, "within": m.within}
                for m in self.comparison.moved
            ],
            "verdict": None if verdict is None else verdict.words,
            "text": verdict.text if verdict else self.outcome and self.outcome.reason,
            "exit_code": self.exit_code,
        }
        plain: dict[str, Any] = _storable(content)
        return plain


Told = Callable[[Reproduction], None]
"""Is called when the conditions are known, before the re-run."""


def reproduce(original: Original, settings: ReproduceSettings, *, checked: Told) -> Reproduction:
    """Look at the conditions, run it again in a new folder, compare, judge, and write that down.

    Raises:
        GanvasError: for bad input, before any work.
    """
    done = Reproduction(original, settings.tolerance)
    out, record = check_out(settings.out), read_run_json(original.folder)
    config = _recorded_config(original.folder)
    places = settings.places(config.get("paths") or {})
    name = str(record.get("name") or "run")
    config_condition = _check_config(record, config)
    done.conditions = [config_condition, inputs.check_history(record)]
    done.verdict = ruled_out(done.conditions)
    if done.verdict is None:
        _attempt(done, record, settings, places, out, told=checked)
    else:
        checked(done)
    if done.folder is None:
        place = Path(str(places.runs_dir)) / FOLDER
        done.folder = make_run_folder(place, name, folder=out)[1]
    write_json(done.folder / REPORT, done.as_dict())
    return done


def _attempt(
    done: Reproduction,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    places: Places,
    out: Path | None,
    *,
    told: Told,
) -> None:
    """From the config to the verdict."""
    folder = done.original.folder
    try:
        checked = to_repeat(folder, record, settings, places)
    except ConfigError as error:
        done.verdict = not_comparable(str(error))
        told(done)
        return
    tables = read_trace(folder), read_metrics(folder)
    reach = reach_of(record, traced=tables[0].last, steps=settings.steps)
    done.conditions += _conditions(record, checked, folder, settings)
    done.verdict = ruled_out(done.conditions)
    if done.verdict is None and reach is None:
        done.verdict = not_comparable(f"the run is {record['status']} and recorded no step")
    told(done)
    if done.verdict is not None or reach is None:
        return
    done.reach = reach
    _run(done, checked, record, settings, place=Path(str(places.runs_dir)) / FOLDER, out=out)
    if done.outcome is None or not _may_compare(done.outcome, record):
        return
    _compare(done, record, settings, tables)
    done.verdict = judge(done.conditions, done.comparison, reach=reach.why)


def _recorded_config(folder: Path) -> dict[str, Any]:
    from ganvas.engine.runs import read_config

    return read_config(folder)


def _check_config(record: Mapping[str, Any], config: Mapping[str, Any]) -> Condition:
    recorded, here = record.get("config_hash"), config_hash(config)
    match = looked.same(recorded, here)
    note = "config.yaml is not the one that the run recorded: it was edited since"
    return Condition(
        "config",
        looked.short(recorded) or looked.UNRECORDED,
        looked.short(here),
        match,
        decides=True,
        note=note if match == "differs" else "",
    )


def _conditions(
    record: Mapping[str, Any], checked: Checked, folder: Path, settings: ReproduceSettings
) -> list[Condition]:
    """All but those of the config; the data set is prepared for it.

    Raises:
        DataError: if its images are missing or unreadable.
    """
    data, trainer = build_data(checked), checked.settings.trainer
    data.prepare(trainer.devices * trainer.num_nodes)
    parent = inputs.check_parent(record, checked)
    return [
        *looked.check_code(record, checked),
        looked.check_packages(record),
        looked.check_hardware(record, checked),
        looked.check_threads(record, checked, threads=settings.threads),
        looked.check_determinism(record, checked),
        inputs.check_data(record, data),
        *([parent] if parent else []),
        inputs.check_weights(record, folder),
    ]


def _run(
    done: Reproduction,
    checked: Checked,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    *,
    place: Path,
    out: Path | None,
) -> None:
    per_rank = settings.threads or looked.recorded_threads(record, checked)
    world = checked.settings.trainer.devices * checked.settings.trainer.num_nodes
    repeated = shortened(checked, done.reach, trust=settings.trust)
    with threads(per_rank, num_ranks=world):
        done.outcome = repeat(repeated, original=done.original.folder, place=place, folder=out)
    done.folder = done.outcome.folder


def _may_compare(outcome: Outcome, record: Mapping[str, Any]) -> bool:
    """Whether it ended as the run did: at its end, or by the same failure."""
    if outcome.exit_code == EXIT_OK:
        return True
    return record["status"] == "failed" and outcome.exit_code == 1 and bool(outcome.reason)


def _compare(
    done: Reproduction,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    tables: tuple[Any, Any],
) -> None:
    assert done.outcome is not None
    folder, again, last = done.original.folder, done.outcome.folder, done.reach.last
    now, found = read_run_json(again), done.comparison
    if features := inputs.check_features(record, now):
        done.conditions.append(features)
    trace, metrics = tables
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
    whole, moved = last is None and bool(record.get("metrics")), []
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


def _storable(value: Any) -> Any:
    """Strict JSON has no NaN and no infinities."""
    if isinstance(value, dict):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
