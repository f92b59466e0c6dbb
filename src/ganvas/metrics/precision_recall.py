"""Precision, recall, density and coverage of fake images, in the features of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganvas.metrics.feature_metric import FeatureMetric
from ganvas.metrics.nearest import (
    CHUNK,
    center_of,
    check_vectors,
    chunks,
    nearest,
    squared_distances,
)

ROUNDING = 2.0**-40
"""More than the relative error of a squared distance in float64."""


class PrecisionRecall(FeatureMetric):
    """Precision, recall, density and coverage of fake images, as `overlap` defines them.

    Args:
        k: a ball reaches to the k-th nearest neighbour; 5 as Naeem et al. take.
        metric: arguments of `FeatureMetric`: `features`, `keep_real`, …

    Raises:
        ValueError: if k is below 1; on `compute`, with fewer than k + 1 images of either kind.
    """

    higher_is_better = True

    def __init__(self, *, k: int = 5, **metric: Any) -> None:
        super().__init__(**metric)
        self.k = check_k(k)

    def compute(self) -> dict[str, Tensor]:
        """`precision`, `recall`, `density` and `coverage`, float64 scalars.

        Raises:
            ValueError: with fewer than k + 1 images of either kind.
        """
        return overlap(self.rows("real"), self.rows("fake"), k=self.k).values


@dataclass(frozen=True, slots=True)
class Overlap:
    """How two sets of features lie in each other's balls.

    Attributes:
        k: of the radii.
        balls: how many real balls each fake lies in, int64 `(M,)`.
        covered: whether each real ball has any fake inside, bool `(N,)`.
        recalled: whether each real feature lies in any fake ball, bool `(N,)`.
    """

    k: int
    balls: Tensor
    covered: Tensor
    recalled: Tensor

    @property
    def values(self) -> dict[str, Tensor]:
        """`precision`, `recall`, `density` and `coverage`, float64 scalars."""
        return {
            "precision": (self.balls > 0).double().mean(),
            "recall": self.recalled.double().mean(),
            "density": self.balls.double().mean() / self.k,
            "coverage": self.covered.double().mean(),
        }

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors of `precision` and `density`, over draws of fakes for these real images.

        Given the balls around real images, both are means over independent fakes. Recall and
        coverage are not: each of their terms depends on all fakes.
        """
        balls, root = self.balls.double(), math.sqrt(len(self.balls))
        return {
            "precision": (balls > 0).double().std().item() / root,
            "density": balls.std().item() / self.k / root,
        }


def check_k(k: int) -> int:
    """The same k.

    Raises:
        ValueError: if it is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k


def radii(vectors: Tensor, *, k: int, chunk: int = CHUNK) -> Tensor:
    """Distance of each feature from its k-th nearest other one, float64 `(N,)`.

    Args:
        vectors: `(N, D)`.
        k: 1 or more.
        chunk: features taken at once, of no effect but on speed and memory.

    Raises:
        ValueError: if there are fewer than k + 1.
    """
    return nearest(vectors, vectors, k=k, itself=False, chunk=chunk)[:, -1]


def overlap(
    real: Tensor, fake: Tensor, *, k: int, real_radii: Tensor | None = None, chunk: int = CHUNK
) -> Overlap:
    """Precision, recall, density and coverage.

    Around each feature lies a closed ball that reaches to its k-th nearest neighbour of the same
    set, itself not counted:

        precision = share of fakes that lie in any real ball
        recall    = share of reals that lie in any fake ball
        density   = mean number of real balls that a fake lies in, / k
        coverage  = share of real balls with any fake inside

    Precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2 (there k = 3).
    Density and coverage: Naeem et al. 2020, arXiv:2002.09797 (there k = 5); their code has open
    balls, which differ where a point lies exactly on a surface: with duplicates, and for equal
    sets, whose density is (k + 1) / k here and 1 there.

    Time is O((N² + N M + M²) D); memory O(N + M) beside the features.

    Args:
        real: features `(N, D)`.
        fake: features `(M, D)`.
        k: 1 or more.
        real_radii: `radii(real, k=k)`, where they are known.
        chunk: features taken at once, of no effect but on speed and memory.

    Raises:
        ValueError: if either set has fewer than k + 1, widths differ, or a value is not finite.
    """
    check_vectors(real, fake)
    real_radii = radii(real, k=k, chunk=chunk) if real_radii is None else real_radii
    center = center_of(real)
    real_bounds = _bounds(real, real_radii, center)
    fake_bounds = _bounds(fake, radii(fake, k=k, chunk=chunk), center)
    balls = torch.zeros(len(fake), dtype=torch.long, device=fake.device)
    covered = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    recalled = covered.clone()
    for columns in chunks(real, chunk):
        y = real[columns].double() - center
        for rows in chunks(fake, chunk):
            x = fake[rows].double() - center
            distances = squared_distances(x, y)
            in_real = distances <= real_bounds[columns]
            balls[rows] += in_real.sum(1, dtype=torch.int32)  # many times faster than int64
            covered[columns] |= in_real.any(0)
            recalled[columns] |= (distances <= fake_bounds[rows, None]).any(0)
    return Overlap(k, balls, covered, recalled)


def _bounds(vectors: Tensor, radii: Tensor, center: Tensor) -> Tensor:
    """Squared radii, widened such that a point on the surface is inside however it is rounded."""
    parts = [(vectors[rows].double() - center).norm(dim=1) for rows in chunks(vectors, CHUNK)]
    lengths = torch.cat(parts)
    return radii.square() + ROUNDING * (lengths + radii).square()
