"""Tensors in a file, with a record beside it that tells whether they are whole."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ganvas.errors import GanvasWarning


def write_tensors(file: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write `file` (safetensors) and, beside it, what it is as JSON; each whole or not at all.

    Args:
        file: with the suffix `.safetensors`.
        tensors: by name.
        note: further fields of the JSON, which gets the hash of the content as `sha256`.

    Raises:
        OSError: if the folder can't be written.
    """
    content = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
    record = {**note, "sha256": hashlib.sha256(content).hexdigest()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, content)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(file.with_suffix(".json"), (text + "\n").encode())


def read_tensors(file: Path) -> dict[str, Tensor] | None:
    """The tensors in `file`, or None where there are none or they are damaged (said in a warning).

    They are whole if their hash is the one in the JSON beside them, which is written last.
    """
    record = file.with_suffix(".json")
    note = read_note(record)
    if note is None:
        if record.is_file():
            _warn(record, "no JSON record")
        return None
    try:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() == note.get("sha256"):
            return safetensors.torch.load(content)
        fault = "another hash than in its record"
    except (OSError, SafetensorError) as error:
        fault = type(error).__name__
    _warn(file, fault)
    return None


def _warn(file: Path, fault: str) -> None:
    text = f"{file}: damaged ({fault}); it is made again"
    warnings.warn(text, GanvasWarning, stacklevel=3)


def read_note(file: Path) -> dict[str, Any] | None:
    """The JSON beside a file of tensors, or None where there is none that can be read."""
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
