"""The records in W&B's own files: a log in LevelDB's form, of protocol buffers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

_MAGIC = b":W&B"
_FILE_HEADER, _BLOCK = 7, 32768
_PIECE = struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def records(data: bytes) -> Iterator[Any]:
    """All that are whole; one that was cut short ends them.

    Args:
        data: content of a `.wandb` file.

    Raises:
        ValueError: if it is none.
    """
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    faults: Any = import_module("google.protobuf.message")
    try:
        for payload in _payloads(data):
            record = messages.Record()
            record.ParseFromString(payload)
            yield record
    except faults.DecodeError as error:
        raise ValueError(f"a record can't be decoded ({error})") from error


def items(listed: Iterable[Any]) -> dict[str, Any]:
    """Values by key of a config, a summary or a row of history, nested as they were."""
    found: dict[str, Any] = {}
    for item in listed:
        *outer, last = list(item.nested_key) or [item.key]
        inside = found
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = json.loads(item.value_json)
    return found


def _payloads(data: bytes) -> Iterator[bytes]:
    if data[: len(_MAGIC)] != _MAGIC:
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
