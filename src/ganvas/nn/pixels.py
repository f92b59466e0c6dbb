"""Pixels as features."""

from __future__ import annotations

from torch import Tensor, nn

from ganvas.types import Features


class Pixels(nn.Module):
    """Each image is its own features: for points of the plane, and as a yardstick for others."""

    name = "pixels"

    def forward(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to `(B, C·H·W)`."""
        return x.flatten(1)

    def extract(self, x: Tensor) -> Features:
        """As `forward`; no classes are known."""
        return Features(self(x))
