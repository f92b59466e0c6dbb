"""The Fréchet distance between two sets of images, in the features of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

LEAST = 2


class FrechetDistance(Metric):
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) of the features of real and fake images.

    The squared 2-Wasserstein distance of two Gaussians (Dowson & Landau 1982, eq. 4), proposed for
    samples by Heusel et al. 2017, arXiv:1706.08500, eq. 6. It is called FID for the features of one
    certain Inception network only; in others its values mean something else.

    Sums of features and of their outer products are kept in float64, so the value does not depend
    on batches, order or ranks but for rounding. Covariances are unbiased (1 / (N − 1)). The matrix
    under the outer root is symmetrised, then its eigenvalues are those of a symmetric matrix. With
    few images the value is too large; compare at equal numbers only.

    Args:
        features: from float images `(B, C, H, W)` in [0, 1] to `(B, D)`.
        num_features: D.
        keep_real: whether `reset` leaves the real images in.
        metric: arguments of torchmetrics' `Metric`.

    Raises:
        ValueError: on `compute`, with fewer than two images of either kind.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    real_sum: Tensor
    real_outer: Tensor
    num_real: Tensor
    fake_sum: Tensor
    fake_outer: Tensor
    num_fake: Tensor

    def __init__(
        self, *, features: nn.Module, num_features: int, keep_real: bool = False, **metric: Any
    ) -> None:
        super().__init__(**metric)
        self.features = features
        self.keep_real = keep_real
        width, kind = num_features, torch.float64
        for side in ("real", "fake"):
            self.add_state(f"{side}_sum", torch.zeros(width, dtype=kind), "sum")
            self.add_state(f"{side}_outer", torch.zeros(width, width, dtype=kind), "sum")
            self.add_state(f"num_{side}", torch.tensor(0), "sum")

    @torch.no_grad()
    def update(self, images: Tensor, real: bool) -> None:
        """Add images.

        Args:
            images: uint8 `(B, C, H, W)`.
            real: whether they are real.

        Raises:
            ValueError: if the images are of another type.
        """
        if images.dtype != torch.uint8:
            raise ValueError(f"images must be uint8, 0 to 255, got {images.dtype}")
        found = self.features(images.float() / 255).double()
        total, outer = found.sum(0), found.T @ found
        if real:
            self.real_sum += total
            self.real_outer += outer
            self.num_real += len(images)
        else:
            self.fake_sum += total
            self.fake_outer += outer
            self.num_fake += len(images)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar.

        Raises:
            ValueError: with fewer than two images of either kind.
        """
        return frechet_distance(
            *gaussian(self.real_sum, self.real_outer, int(self.num_real), name="real"),
            *gaussian(self.fake_sum, self.fake_outer, int(self.num_fake), name="fake"),
        )

    def reset(self) -> None:
        """Forget all images, or the fake ones alone under `keep_real`."""
        kept = self.real_sum, self.real_outer, self.num_real
        super().reset()
        if self.keep_real:
            self.real_sum, self.real_outer, self.num_real = kept


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, in float64.

    Attributes:
        num: of features.
        mean: `(D,)`.
        covariance: unbiased, `(D, D)`.
        root: its symmetric square root, where it is known.
    """

    num: int
    mean: Tensor
    covariance: Tensor
    root: Tensor | None = None

    @classmethod
    def of(cls, vectors: Tensor, *, name: str = "") -> Moments:
        """Of features `(N, D)`.

        Raises:
            ValueError: if there are fewer than two.
        """
        x = vectors.double()
        return cls(len(x), *gaussian(x.sum(0), x.T @ x, len(x), name=name))

    def with_root(self) -> Moments:
        """The same with `root`."""
        return replace(self, root=_root(self.covariance))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """By name, to be kept in a file."""
        kept = {"num": torch.tensor(self.num), "mean": self.mean, "covariance": self.covariance}
        return kept if self.root is None else {**kept, "root": self.root}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Moments:
        """What `tensors` gave."""
        return cls(**{**tensors, "num": int(tensors["num"])})  # type: ignore[arg-type]


def moments_distance(real: Moments, fake: Moments) -> Tensor:
    """The Fréchet distance, a float64 scalar; the root of `real` is used where it is known."""
    return frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance, root=real.root)


def gaussian(total: Tensor, outer: Tensor, num: int, *, name: str) -> tuple[Tensor, Tensor]:
    """Mean `(D,)` and unbiased covariance `(D, D)` from sums.

    Args:
        total: Σ f, `(D,)`.
        outer: Σ f fᵀ, `(D, D)`.
        num: of features f.
        name: of the images, for the message.

    Raises:
        ValueError: if there are fewer than two.
    """
    if num < LEAST:
        raise ValueError(
            f"a Fréchet distance needs at least {LEAST} {name} images, got {num}; add more first"
        )
    mean = total / num
    return mean, (outer - num * torch.outer(mean, mean)) / (num - 1)


def frechet_distance(
    mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor, *, root: Tensor | None = None
) -> Tensor:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½), at least 0.

    Args:
        mu1: `(D,)`.
        sigma1: `(D, D)`, symmetric and positive semi-definite but for rounding.
        mu2: as `mu1`.
        sigma2: as `sigma1`.
        root: the symmetric square root of `sigma1`, where it is known.
    """
    root = _root(sigma1) if root is None else root
    product = root @ sigma2 @ root
    under = torch.linalg.eigvalsh((product + product.T) / 2)
    cross = under.clamp(min=0).sqrt().sum()
    distance = (mu1 - mu2).square().sum() + sigma1.trace() + sigma2.trace() - 2 * cross
    return distance.clamp(min=0)


def _root(sigma: Tensor) -> Tensor:
    """The symmetric square root; eigenvalues below 0 are rounding and become 0."""
    values, vectors = torch.linalg.eigh((sigma + sigma.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
