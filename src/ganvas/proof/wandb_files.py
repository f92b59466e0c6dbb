"""W&B's offline files: of a run's own folder, or copied out of one."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ganvas.errors import RunError
from ganvas.proof.original import Original
from ganvas.proof.synthetic import Row, lay_out
from ganvas.tracking.files import RUN_FILE

LACKS = ("a trace", "weights", "pictures", "packages and hardware", "the data's fingerprint")

_OWN = ("_wandb", "_timestamp", "_runtime", "_step")
_MAGIC = b":W&B"
_FILE_HEADER, _BLOCK = 7, 32768
_PIECE = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_DEPTH = 3  # run/wandb/offline-run-…/run-….wandb


def owner(path: Path) -> Path | None:
    """The run's folder that something of W&B's lies in."""
    for above in list(path.parents)[:_DEPTH]:
        inside = path.relative_to(above).parts
        if inside[0] == "wandb" and (above / RUN_FILE).is_file():
            return above
    return None


def find(path: Path) -> Path | None:
    """The `.wandb` file that a path names, or the only one in a folder of W&B's.

    Raises:
        RunError: if there are several.
    """
    if path.is_file():
        return path if path.suffix == ".wandb" else None
    found = [*path.glob("*.wandb"), *path.glob("offline-run-*/*.wandb")]
    if len({file.name for file in found}) > 1:
        raise RunError(f"{path} holds several runs of W&B; give one of its offline-run-… folders")
    return max(found, key=lambda file: file.parent.name) if found else None


def original(source: str, file: Path) -> Original:
    """What a `.wandb` file alone tells of a run.

    Raises:
        RunError: if it is damaged, or holds no run of ganvas.
    """
    told = Told()
    for part in sorted(file.parent.parent.glob(f"offline-run-*/{file.name}")) or [file]:
        _read(part, told)  # a resumed run has several
    folder = synthetic(source, told.config, told.history, name=told.name, exit_code=told.exit_code)
    return Original(source, "wandb", folder, LACKS)


def synthetic(
    source: str,
    config: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]],
    *,
    name: str,
    exit_code: int | None,
) -> Path:
    """A run's folder from what W&B keeps: config and history.

    Raises:
        RunError: if the config is none of ganvas.
    """
    plain = {key: value for key, value in config.items() if key not in _OWN}
    if not {"model", "dataset", "trainer", "seed"} <= plain.keys():
        raise RunError(f"{source} holds no config of ganvas; only its own runs can be reproduced")
    rows = sorted(_rows(history), key=lambda row: row[0])
    ended = {None: "running", 0: "finished"}
    facts = {
        "name": str(plain.get("name") or name),
        "seed": plain["seed"],
        "status": ended.get(exit_code, "failed"),
        "metrics": _finals(rows),
    }
    return lay_out(plain, facts, rows)


def _rows(history: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """Rows of `metrics.csv`; W&B has whole floats as integers, NaN and infinities as text."""
    for row in history:
        if not isinstance(row.get("step"), int | float):
            continue
        place = int(row["step"]), int(row.get("images_seen") or 0), float(row.get("seconds") or 0)
        for name, value in sorted(row.items()):
            if "/" in name and (number := _number(value)) is not None:
                yield (*place, name, number)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _finals(rows: Sequence[Row]) -> dict[str, Any]:
    """The last value of each metric, as `run.json` has it."""
    found: dict[str, Any] = {}
    for step, _, _, name, value in rows:
        if name.startswith(("val/", "test/")) and value == value:  # noqa: PLR0124  (no NaN)
            found[name] = {"final": {"value": value, "step": step}}
    return found


@dataclass
class Told:
    """What a file of W&B's tells of a run."""

    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None


def _read(file: Path, told: Told) -> None:
    """Add a file's records.

    Raises:
        RunError: if it is damaged.
    """
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    faults: Any = import_module("google.protobuf.message")
    try:
        for data in _payloads(file.read_bytes()):
            record = messages.Record()
            record.ParseFromString(data)
            _take(told, record)
    except (OSError, ValueError, faults.DecodeError) as error:
        raise RunError(f"{file} can't be read as W&B's ({error})") from error


def _take(told: Told, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        told.name = record.run.display_name
        told.config.update(_items(record.run.config.update))
    elif kind == "config":
        told.config.update(_items(record.config.update))
    elif kind == "history":
        told.history.append(_items(record.history.item))
    elif kind == "exit":
        told.exit_code = record.exit.exit_code


def _items(items: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        *outer, last = list(item.nested_key) or [item.key]
        inside = found
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(item.value_json)
    return found


def _payloads(data: bytes) -> Iterator[bytes]:
    """Whole records of a log in LevelDB's form; a last one that was cut short is left out.

    Raises:
        ValueError: if it is none.
    """
    if data[:4] != _MAGIC:
        raise ValueError("it does not begin as W&B's files do")
    parts, at = b"", _FILE_HEADER
    while at + _PIECE.size <= len(data):
        room = _BLOCK - at % _BLOCK
        if room < _PIECE.size:
            at += room
            continue
        _, length, kind = _PIECE.unpack_from(data, at)
        at += _PIECE.size
        if kind not in (_FULL, _FIRST, _MIDDLE, _LAST) or at + length > len(data):
            return
        parts = (b"" if kind in (_FULL, _FIRST) else parts) + data[at : at + length]
        at += length
        if kind in (_FULL, _LAST):
            yield parts
