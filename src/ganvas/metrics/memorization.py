"""Whether samples lie nearer to training images than unseen real images do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.metrics.reconstruction import mean_and_error

TAIL = 0.01
"""Share of the unseen images that are nearest to training images: as near as copies are."""


@dataclass(frozen=True, slots=True)
class Memorization:
    """Distances of samples from their nearest training images, against those of unseen images.

    Attributes:
        probability: P(sample nearer than unseen) + P(equally near) / 2: 1 if all samples are
            copies, 0.5 if they are as far as unseen images, 0 if all are farther.
        probability_error: its standard error over draws of samples, for these real images; None for
            a single sample.
        ratio: median distance of samples / that of unseen images: 0 for copies, 1 for the same.
        near_copies: share of samples as near as the nearest hundredth of the M unseen images,
            rounded up: ⌈M / 100⌉ / (M + 1) is expected of samples that are like them.
    """

    probability: float
    probability_error: float | None
    ratio: float
    near_copies: float


def memorization(samples: Tensor, unseen: Tensor) -> Memorization:
    """The data-copying test of Meehan et al. 2020, arXiv:2004.05675, over the whole space.

    `probability` is the Mann–Whitney statistic U / (N M), of which their C_T is the z-score; theirs
    is a mean over cells of the space, ours has one cell. It tells copying from farness only:
    blurred samples may lie nearer to training images than sharp unseen ones.

    Args:
        samples: distances `(N,)`.
        unseen: distances of real images that were not trained on, `(M,)`.

    Raises:
        ValueError: if either is empty, or half of the unseen images or more have distance 0.
    """
    if min(len(samples), len(unseen)) == 0:
        raise ValueError(
            f"memorisation needs distances of both samples and unseen images, got {len(samples)} "
            f"and {len(unseen)}"
        )
    samples, unseen = samples.double(), unseen.double().sort().values
    middle = unseen.quantile(0.5)
    if middle == 0:
        raise ValueError(
            f"unseen images must differ from training images, got {int((unseen == 0).sum())} of "
            f"{len(unseen)} that don't; split the data set so that no image is on both sides"
        )
    less = torch.searchsorted(unseen, samples)
    less_or_equal = torch.searchsorted(unseen, samples, right=True)
    wins = 1 - (less + less_or_equal).double() / (2 * len(unseen))
    probability, error = mean_and_error(wins)
    near = unseen[math.ceil(TAIL * len(unseen)) - 1]
    return Memorization(
        probability=probability,
        probability_error=error,
        ratio=(samples.quantile(0.5) / middle).item(),
        near_copies=(samples <= near).double().mean().item(),
    )
