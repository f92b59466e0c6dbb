"""Which classes a classifier finds among images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

SHARE = 0.1
"""A class is hit if it has at least this part of what it would have among K equal classes."""


class ClassCounts(Metric):
    """How many images a classifier puts into each of K classes.

    Args:
        classifier: from float images `(B, C, H, W)` in [0, 1] to logits `(B, K)`.
        num_classes: K.
        metric: arguments of torchmetrics' `Metric`.
    """

    is_differentiable = False
    full_state_update = False

    counts: Tensor

    def __init__(self, *, classifier: nn.Module, num_classes: int, **metric: Any) -> None:
        super().__init__(**metric)
        self.classifier, self.num_classes = classifier, num_classes
        self.add_state("counts", torch.zeros(num_classes, dtype=torch.long), "sum")

    @torch.no_grad()
    def update(self, images: Tensor) -> None:
        """Add images, uint8 `(B, C, H, W)`."""
        self.counts += counts_of(self.classifier(images.float() / 255))

    def compute(self) -> Tensor:
        """Images by class, `(K,)`."""
        return self.counts


def counts_of(logits: Tensor) -> Tensor:
    """Images by the class of their largest logit, int64 `(K,)`, for logits `(N, K)`."""
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1])


def classes_hit(counts: Tensor) -> int:
    """Classes with a share of at least 1 / (10 K) of all images; `counts` is `(K,)`."""
    return int((counts * len(counts) >= SHARE * counts.sum()).sum())


def class_entropy(counts: Tensor) -> float:
    """−Σ p log p of the shares p, in nats: 0 to log K; `counts` is `(K,)`."""
    shares = counts.double() / counts.sum()
    return -torch.xlogy(shares, shares).sum().item()
