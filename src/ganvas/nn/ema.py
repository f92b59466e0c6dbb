"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class ExponentialMovingAverage(nn.Module):
    """A shadow of a network: `w_ema ← decay · w_ema + (1 − decay) · w`, buffers copied.

    With a warm-up w the decay of update t = 0, 1, … is min(decay, (1 + t) / (w + t)): the first
    weights, which are noise, are soon forgotten, and a short run has a useful average.

    Batch-norm statistics are buffers: they follow the network exactly, since they are averages
    already. As a sub-module it is in the checkpoint and on the device with the rest.

    Args:
        network: the network to follow.
        decay: share of the old average kept at each update, in [0, 1).
        warmup: w, in updates; 0 for none.

    Raises:
        ValueError: if decay is outside [0, 1), or the warm-up below 0.
    """

    def __init__(self, network: nn.Module, *, decay: float, warmup: int = 0) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {decay}; null switches it off")
        if warmup < 0:
            raise ValueError(f"ema_warmup must be at least 0 generator steps, got {warmup}")
        self.decay, self.warmup = decay, warmup
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, *, step: int = 0) -> None:
        """Move towards `network`'s weights and copy its buffers; one call per generator step.

        Args:
            network: the network to follow.
            step: updates made before this one.
        """
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + step) / (self.warmup + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def train(self, mode: bool = True) -> ExponentialMovingAverage:
        """The average is always in evaluation mode: it is never trained."""
        return super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The averaged network's output."""
        return self.network(*args, **kwargs)
