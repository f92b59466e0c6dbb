"""What scores of codes against known factors share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 2


def checked_pair(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Codes `(N, Z)` in float64 and those of the factors `(N, F)` that have more than one value.

    Factors count their values from 0. Codes and factors are on the CPU.

    Raises:
        ValueError: if there are fewer than two images, numbers differ, a code is not finite, or no
            factor varies.
    """
    if len(codes) != len(factors) or len(codes) < LEAST:
        raise ValueError(
            f"codes and factors must be of the same images, {LEAST} at least, got {len(codes)} "
            f"codes and {len(factors)} rows of factors"
        )
    if not codes.isfinite().all():
        raise ValueError("codes must be finite, got NaN or infinity; the encoder has diverged")
    varies = factors.amin(0) < factors.amax(0)
    if not varies.any():
        raise ValueError(
            f"no factor takes two values among {len(factors)} images; give more images"
        )
    return codes.double(), factors[:, varies].long()


def shares(importance: Tensor, *, dim: int) -> Tensor:
    """Importances divided by their sum along `dim`; equal where that sum is 0.

    Those of trees can be below 0 by rounding, which counts as 0.
    """
    importance = importance.clamp(min=0)
    total = importance.sum(dim, keepdim=True)
    equal = torch.full_like(importance, 1 / importance.shape[dim])
    return torch.where(total > 0, importance / total.where(total > 0, 1.0), equal)
