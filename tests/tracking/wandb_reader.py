"""A small reader of `.wandb` files: LevelDB log blocks that hold protobuf records."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

_BLOCK = 32768
_FILE_HEADER = 7
_RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


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
    from wandb.proto import wandb_internal_pb2

    run = OfflineRun()
    for data in _payloads(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
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
        run.config.update(_items(record.run.config.update))
    elif kind == "config":
        run.config.update(_items(record.config.update))
    elif kind == "history":
        run.history.append(_items(record.history.item))
    elif kind == "summary":
        run.summary.update(_items(record.summary.update))
    elif kind == "metric":
        run.metrics.append(record.metric)
    elif kind == "files":
        run.files += [file.path for file in record.files.files]
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _items(items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        *outer, last = list(item.nested_key) or [item.key]
        inside = found
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(item.value_json)
    return found


def _payloads(data: bytes) -> list[bytes]:
    assert data[:4] == b":W&B"
    found, parts, at = [], b"", _FILE_HEADER
    while at + _RECORD_HEADER.size <= len(data):
        room = _BLOCK - at % _BLOCK
        if room < _RECORD_HEADER.size:
            at += room
            continue
        _, length, kind = _RECORD_HEADER.unpack_from(data, at)
        at += _RECORD_HEADER.size
        if at + length > len(data):
            break  # of a process that was killed
        parts = (b"" if kind in {_FULL, _FIRST} else parts) + data[at : at + length]
        at += length
        assert kind in {_FULL, _FIRST, _MIDDLE, _LAST}
        if kind in {_FULL, _LAST}:
            found.append(parts)
    return found
