"""Weights alone, as safetensors: what an exported run holds in the place of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganvas.engine.content_hash import content_hash
from ganvas.errors import CheckpointError

SUFFIX = ".safetensors"

_KEY = "ganvas"  # one key, since the library writes several in no fixed order
_VERSION = 1


def weights_bytes(checkpoint: Mapping[str, Any], *, config_hash: str, path: Path) -> bytes:
    """The content of a file with a checkpoint's weights, its counters and the hash of both.

    Args:
        checkpoint: with `state_dict` and `ganvas_counters`.
        config_hash: of its run.
        path: of the checkpoint, for the message.

    Raises:
        CheckpointError: if its state holds something that is no tensor, or of a rare type.
    """
    state: Mapping[str, Any] = checkpoint["state_dict"]
    other = sorted(name for name, value in state.items() if not isinstance(value, Tensor))
    if other:
        raise CheckpointError(
            f"{path}: {other[0]} is a {type(state[other[0]]).__name__} and no tensor, so it can't "
            "be exported; keep such state in a buffer"
        )
    note = {
        "format_version": _VERSION,
        "ganvas_counters": dict(checkpoint["ganvas_counters"]),
        "config_hash": config_hash,
        "sha256": content_hash(state),
    }
    # Tied and strided weights are written out in full, each under its own name.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    try:
        text = json.dumps(note, sort_keys=True, allow_nan=False)
        return safetensors.torch.save(plain, {_KEY: text})
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} can't be written as safetensors: {error}") from error


def read_weights(path: Path) -> dict[str, Any]:
    """Weights and counters, as `read_checkpoint` has them.

    Raises:
        CheckpointError: if the file is damaged, or none of ganvas.
    """
    try:
        with safe_open(path, "pt") as file:
            note = json.loads((file.metadata() or {}).get(_KEY, "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged or truncated; take it from its export") from error
    if not _is_note(note):
        raise CheckpointError(f"{path} is no file of ganvas: it has no counters of a run")
    if note["sha256"] != content_hash(state):
        raise CheckpointError(
            f"{path} is damaged: its weights are not those that were written; take it from its "
            "export"
        )
    return {
        "state_dict": state,
        "ganvas_counters": note["ganvas_counters"],
        "ganvas_hashes": {"weights": note["sha256"]},
    }


def _is_note(note: Any) -> bool:
    counters = note.get("ganvas_counters") if isinstance(note, dict) else None
    if not isinstance(counters, dict) or "sha256" not in note:
        return False
    return "step" in counters and all(type(value) is int for value in counters.values())
