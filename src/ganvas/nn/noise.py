"""Noise that is a function of a key, not of what was drawn before.

A training step's noise depends on (run seed, stream, step) only, and is drawn for the global batch
and sliced by rank. So a resumed run draws what the uninterrupted run drew, and two ranks of b
images draw what one rank of 2b draws.
"""

from __future__ import annotations

import math
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


ROWS = 256
"""Rows of codes that are drawn together."""


def keyed_rows(num: int, width: int, *key: int, device: torch.device | str) -> Tensor:
    """Standard normal rows `(num, width)`: the i-th is a function of (key, i), whatever `num` is.

    A draw of another size gives other values, at its end on a CPU and all over on a GPU; so blocks
    of one size are drawn, and the last is cut.
    """
    noise = torch.empty(num + -num % ROWS, width, device=device)
    if not noise.is_meta:
        generator = keyed_generator(device, *key)
        for block in noise.split(ROWS):
            block.normal_(generator=generator)
    return noise[:num]


def truncated(normal: Tensor, limit: float) -> Tensor:
    """Standard normal values made ones of N(0, 1) given |z| ≤ t, of any shape.

    z = Φ⁻¹(Φ(−t) + Φ(n) (Φ(t) − Φ(−t))), by the inverse CDF: order and sign are kept and t → ∞
    changes nothing, so the same seed gives images near the untruncated ones. Brock et al. (2019,
    arXiv:1809.11096, sec. 3.1) draw values beyond t again instead: the same distribution.

    Args:
        normal: n.
        limit: t.

    Raises:
        ValueError: if the limit is not positive.
    """
    if not limit > 0:
        raise ValueError(f"truncation must be positive, got {limit}; leave it out for none")
    n = normal.double()
    below = 0.5 * math.erfc(limit / math.sqrt(2))  # Φ(−t)
    tail = 0.5 * torch.special.erfc(n.abs() / math.sqrt(2))  # Φ(−|n|); torch's ndtr loses digits
    share = below + (1 - 2 * below) * tail
    size = -torch.special.ndtri(share).clamp(max=0)
    return size.copysign(n).to(normal).clamp(-limit, limit)
