"""What a `.wandb` file tells of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from ganvas.tracking.wandb_records import items, records


@final
@dataclass
class OfflineRun:
    run_id: str = ""
    project: str = ""
    entity: str = ""
    group: str = ""
    name: str = ""
    job_type: str = ""
    sweep_id: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    exit_code: int | None = None
    tags: list[str] = field(default_factory=list)

    def values(self, name: str) -> list[tuple[int, Any]]:
        return [(row["step"], row[name]) for row in self.history if name in row]


def read_wandb(path: Path) -> OfflineRun:
    """Waits for the end of the file: W&B's service writes it shortly after `finish` returns."""
    deadline = time.monotonic() + 5
    while (run := read_as_it_is(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return run


def read_as_it_is(path: Path) -> OfflineRun:
    run = OfflineRun()
    for record in records(path.read_bytes()):
        _take(run, record)
    return run


def _take(run: OfflineRun, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run.run_id, run.project = record.run.run_id, record.run.project
        run.entity, run.group = record.run.entity, record.run.run_group
        run.name, run.job_type = record.run.display_name, record.run.job_type
        run.sweep_id = record.run.sweep_id
        run.tags = list(record.run.tags)
        run.config.update(items(record.run.config.update))
    elif kind == "config":
        run.config.update(items(record.config.update))
    elif kind == "history":
        run.history.append(items(record.history.item))
    elif kind == "summary":
        run.summary.update(items(record.summary.update))
    elif kind == "metric":
        run.metrics.append(record.metric)
    elif kind == "files":
        run.files += [file.path for file in record.files.files]
    elif kind == "exit":
        run.exit_code = record.exit.exit_code
