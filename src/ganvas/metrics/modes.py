"""How well samples cover a mixture of Gaussians whose centres are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

GOOD_WITHIN = 3.0
"""A sample is good if it lies within so many σ of a centre (Lin et al. 2018, sec. 4.1)."""


@dataclass(frozen=True, slots=True)
class ModeCoverage:
    """What `mode_coverage` finds.

    Attributes:
        modes_covered: modes with at least one good sample.
        good_share: good samples / samples.
        kl_from_uniform: KL(p̂ ‖ uniform) in nats, p̂ the shares of the modes among good samples;
            0 to log K, and NaN where no sample is good.
    """

    modes_covered: int
    good_share: float
    kl_from_uniform: float


def mode_coverage(points: Tensor, *, centers: Tensor, sigma: float) -> ModeCoverage:
    """Modes covered and good samples, as PacGAN counts them (arXiv:1712.04086, sec. 4.1).

    A sample belongs to its nearest centre, and is good within 3 σ of it. Unlike there, the KL is
    over good samples alone, and is named by its direction. Real points in the plane are good with
    probability 1 − exp(−9/2), see `expected_good_share`.

    Args:
        points: samples `(N, D)`.
        centers: of the K modes, `(K, D)`.
        sigma: standard deviation of each mode and coordinate.

    Raises:
        ValueError: if there are no points, or their width is not that of the centres.
    """
    if len(points) == 0 or points.shape[1:] != centers.shape[1:]:
        raise ValueError(
            f"points must be (N, {centers.shape[1]}) with N at least 1, as the centers are, got "
            f"{tuple(points.shape)}"
        )
    distance, mode = torch.cdist(points.double(), centers.double()).min(dim=1)
    good = distance <= GOOD_WITHIN * sigma
    counts = torch.bincount(mode[good], minlength=len(centers)).double()
    shares = counts / counts.sum()
    return ModeCoverage(
        modes_covered=int((counts > 0).sum()),
        good_share=good.double().mean().item(),
        kl_from_uniform=(torch.xlogy(shares, shares).sum() + math.log(len(centers))).item(),
    )


def expected_good_share() -> float:
    """P(‖ε‖ ≤ 3) = 1 − exp(−9/2) for ε ~ N(0, I) in the plane: what real points reach."""
    return 1 - math.exp(-(GOOD_WITHIN**2) / 2)
