"""Who comes when: orders and splits as pure functions of seeds, drawn by private generators."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_SEED_BITS = 63


def derive_seed(purpose: str, *parts: int) -> int:
    """A 63-bit seed for one purpose: the first bytes of SHA-256("purpose/part/part…").

    Hashing the parts, where `seed + epoch` would add them, keeps (seed 0, epoch 1) and (seed 1,
    epoch 0) apart, and the order of images apart from their augmentation.
    """
    text = "/".join([purpose, *(str(int(part)) for part in parts)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def generator(purpose: str, *parts: int) -> torch.Generator:
    """A private CPU generator seeded by `derive_seed`; the global one is never consumed."""
    return torch.Generator().manual_seed(derive_seed(purpose, *parts))


def permutation(num: int, *, purpose: str, parts: Iterable[int]) -> Tensor:
    """A permutation of range(num), int64 `(num,)`, the same on every device and rank."""
    return torch.randperm(num, generator=generator(purpose, *parts))


def hash_order(names: Sequence[str]) -> list[int]:
    """Indices of `names` sorted by the SHA-256 of each name.

    A shuffle that needs no random stream: it is the same in every version of every library, and
    a name added later leaves the others in their order.
    """
    digests = [hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names]
    return sorted(range(len(names)), key=digests.__getitem__)


def share(size: float, *, num: int) -> int:
    """How many of `num` a size stands for: a count (int), or a fraction in (0, 1) rounded."""
    return round(size * num) if isinstance(size, float) else size
