"""Which classes a classifier finds among images."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE = 0.1
"""A class is hit if it has at least this part of what it would have among K equal classes."""


def counts_of(logits: Tensor) -> Tensor:
    """Images by the class of their largest logit, int64 `(K,)`, for logits `(N, K)`."""
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1])


def classes_hit(counts: Tensor) -> int:
    """Classes with a share of at least 1 / (10 K) of all images; `counts` is `(K,)`."""
    return int((counts * len(counts) >= SHARE * counts.sum()).sum())


def class_entropy(counts: Tensor) -> float:
    """−Σ p log p of the shares p, in nats: 0 to log K; `counts` is `(K,)`."""
    shares = counts.double() / counts.sum()
    return abs(torch.xlogy(shares, shares).sum().item())
