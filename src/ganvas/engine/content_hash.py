"""One hash of nested containers of plain values and tensors, the same in memory and on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of what a checkpoint can hold: mappings, sequences, plain values, tensors.

    Of a tensor its type, shape and bytes count, not its device or layout; of a mapping not the
    order of its keys; lists and tuples of equal items are equal.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Each item with its kind and size before it, so that no two contents read alike."""
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        if value.numel():
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)};".encode())
        for key in sorted(value, key=repr):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, set | frozenset):  # in another order in each process
        digest.update(f"set {len(value)};".encode())
        for item in sorted(value, key=repr):
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        digest.update(f"sequence {len(value)};".encode())
        for item in value:
            _feed(digest, item)
    else:
        text = repr(value)
        digest.update(f"{type(value).__name__} {len(text)} {text};".encode())
