"""Noise that is a function of a key, not of what was drawn before.

A training step's noise depends on (run seed, stream, step) only, and is drawn for the global batch
and sliced by rank. So a resumed run draws what the uninterrupted run drew, and two ranks of b
images draw what one rank of 2b draws.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import blake2b

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def _generator(device: str) -> torch.Generator:
    return torch.Generator(device=device)


def keyed_generator(device: torch.device | str, *key: int) -> torch.Generator:
    """A generator seeded by a hash of the integers in `key`; shared per device, use it at once."""
    digest = blake2b(struct.pack(f"<{len(key)}q", *key), digest_size=8).digest()
    return _generator(str(device)).manual_seed(int.from_bytes(digest, "little") >> 1)


def keyed_normal(shape: tuple[int, ...], *key: int, device: torch.device | str) -> Tensor:
    """Standard normal noise of `shape`, a function of `key` alone (on one kind of device).

    On the meta device, where nothing is computed, an empty tensor of that shape.
    """
    if torch.device(device).type == "meta":
        return torch.empty(shape, device=device)
    return torch.randn(shape, generator=keyed_generator(device, *key), device=device)
