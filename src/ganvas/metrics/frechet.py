"""The Fréchet distance between two sets of images, in the features of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ganvas.metrics.feature_metric import FeatureMetric, check_finite

LEAST = 2


class FrechetDistance(FeatureMetric):
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) of the features of real and fake images.

    The squared 2-Wasserstein distance of two Gaussians (Dowson & Landau 1982, eq. 4), proposed for
    samples by Heusel et al. 2017, arXiv:1706.08500, eq. 6. It is called FID for the features of one
    certain Inception network only; in others its values mean something else.

    Everything is in float64. As many features as are wide are kept as they are; beyond that, they
    are folded into mean and scatter (Chan et al. 1979), which lose no digits where means are large.
    So the value does not depend on batches, order or ranks but for rounding. Covariances are
    unbiased (1 / (N − 1)). With few images the value is too large; compare at equal numbers only.

    Args:
        real: moments of the real images where they are known; then only fake ones are added.
        metric: arguments of `FeatureMetric`: `features`, `num_features`, `keep_real`, `floats`.

    Raises:
        ValueError: on `compute`, with fewer than two images of either kind; on `update`, see there,
            and for real images beside known moments.
    """

    higher_is_better = False

    real_folded: list[Tensor]
    fake_folded: list[Tensor]

    def __init__(self, *, real: Moments | None = None, **metric: Any) -> None:
        known = {} if real is None else {"num_features": len(real.mean)}
        super().__init__(**{**metric, **known})
        self.known = None if real is None else real.with_root()
        for name in ("real_folded", "fake_folded"):
            self.add_state(name, [])

    def update_features(self, vectors: Tensor, *, real: bool) -> None:
        """Keep features, or fold them where there are more than they are wide."""
        if real and self.known is not None:
            raise ValueError("the moments of the real images were given; add fake ones only")
        super().update_features(vectors, real=real)
        name = "real" if real else "fake"
        rows: list[Tensor] = getattr(self, name)
        if sum(map(len, rows)) > vectors.shape[1]:
            folded = _merged([*getattr(self, f"{name}_folded"), _folded(torch.cat(rows))])
            setattr(self, f"{name}_folded", [folded])
            setattr(self, name, [])

    def compute(self) -> Tensor:
        """The distance, a float64 scalar.

        Raises:
            ValueError: with fewer than two images of either kind.
        """
        return moments_distance(self.moments("real"), self.moments("fake"))

    def moments(self, name: str) -> Moments:
        """Of the `real` or the `fake` images so far.

        Raises:
            ValueError: with fewer than two images.
        """
        if name == "real" and self.known is not None:
            return Moments.from_tensors(
                {k: v.to(self.device) for k, v in self.known.tensors.items()}
            )
        rows, folded = self.rows(name), self.rows(f"{name}_folded")
        if not len(folded):
            return Moments.of(rows, name=name)
        parts = list(folded.unflatten(0, (-1, folded.shape[1] + HEAD)))
        return _unfolded(_merged([*parts, _folded(rows)] if len(rows) else parts))


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, in float64.

    Attributes:
        num: of features.
        mean: `(D,)`.
        covariance: unbiased, `(D, D)`.
        root: R `(D, K)` with R Rᵀ = covariance, where it is known. Of N ≤ D features it is made of
            the centred features, K = N − 1; else it is the Cholesky factor, or for a singular
            covariance the symmetric square root.
    """

    num: int
    mean: Tensor
    covariance: Tensor
    root: Tensor | None = None

    @classmethod
    def of(cls, vectors: Tensor, *, name: str = "") -> Moments:
        """Of features `(N, D)`.

        Raises:
            ValueError: if there are fewer than two, or they are not finite.
        """
        num, x = len(vectors), vectors.double()
        if num < LEAST:
            kind = f"{name} images".strip()
            raise ValueError(
                f"a Fréchet distance needs at least {LEAST} {kind}, got {num}; add more first"
            )
        check_finite(x, name="features")
        mean = x.mean(0)
        centred = (x - mean) / (num - 1) ** 0.5
        # of N centred rows one is superfluous: this is a reflection of them with a row of zeros
        few = num <= x.shape[1]
        root = (centred[1:] - centred[0] / (num**0.5 + 1)).T if few else None
        return cls(num, mean, centred.T @ centred, root)

    def with_root(self) -> Moments:
        """The same with `root`, laid out as a file gives it back: other layouts round otherwise."""
        root = _root(self.covariance) if self.root is None else self.root
        return replace(self, root=root.contiguous())

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
    """The Fréchet distance, a float64 scalar of at least 0; known roots are used.

    Raises:
        ValueError: if they are of different widths.
    """
    if real.mean.shape != fake.mean.shape:
        raise ValueError(
            f"features must be of one width, got {len(real.mean)} of real and {len(fake.mean)} of "
            "fake images; use one network and one layer"
        )
    shift = (real.mean - fake.mean).square().sum()
    spread = real.covariance.trace() + fake.covariance.trace()
    return (shift + spread - 2 * _overlap(real, fake)).clamp(min=0)


def frechet_distance(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> Tensor:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) of two Gaussians, at least 0, in float64.

    Args:
        mu1: `(D,)`.
        sigma1: `(D, D)`, symmetric and positive semi-definite but for rounding.
        mu2: as `mu1`.
        sigma2: as `sigma1`.
    """
    real, fake = (
        Moments(0, mu1.double(), sigma1.double()),
        Moments(0, mu2.double(), sigma2.double()),
    )
    return moments_distance(real, fake)


def _overlap(real: Moments, fake: Moments) -> Tensor:
    """tr (Σ₁^½ Σ₂ Σ₁^½)^½ = ‖R₁ᵀ R₂‖, the sum of singular values, for any roots R₁ and R₂.

    R₁ᵀ Σ₂ R₁ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½ but for zeros, and so has R₂ᵀ Σ₁ R₂; they are the
    squares of those singular values. Of few images this is smaller than D × D.
    """
    if real.root is not None and fake.root is not None:
        product = real.root.T @ fake.root
        under = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    elif fake.root is not None:
        under = fake.root.T @ real.covariance @ fake.root
    else:
        root = real.root if real.root is not None else _root(real.covariance)
        if root.device.type == "cpu" and root.shape == fake.covariance.shape and _is_lower(root):
            return _eigenvalues_between(root, fake.covariance).clamp(min=0).sqrt().sum()
        under = root.T @ fake.covariance @ root
    return torch.linalg.eigvalsh((under + under.T) / 2).clamp(min=0).sqrt().sum()


def _is_lower(root: Tensor) -> bool:
    return not root.triu(1).any()


def _eigenvalues_between(factor: Tensor, covariance: Tensor) -> Tensor:
    """Of Lᵀ Σ L for a Cholesky factor L, by LAPACK: a quarter of the operations of two products."""
    from scipy.linalg import eigvalsh, lapack

    product, fault = lapack.dsygst(covariance.numpy(), factor.numpy(), itype=2, lower=1)
    assert fault == 0
    return torch.from_numpy(eigvalsh(product, lower=True, overwrite_a=True, driver="evd"))


def _root(sigma: Tensor) -> Tensor:
    """Of any positive semi-definite matrix; eigenvalues below 0 are rounding and become 0."""
    factor, failed = torch.linalg.cholesky_ex(sigma)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh((sigma + sigma.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


# Folded features: a matrix `(D + 2, D)` of their number (in all of the first row), mean and scatter
# Σ (f − μ)(f − μ)ᵀ, which is what ranks send to each other.

HEAD = 2


def _folded(vectors: Tensor) -> Tensor:
    x = vectors.double()
    mean = x.mean(0)
    return torch.cat([torch.full_like(mean, len(x))[None], mean[None], (x - mean).T @ (x - mean)])


def _merged(parts: Sequence[Tensor]) -> Tensor:
    """Of all together: S = Σ Sᵢ + Σ nᵢ (μᵢ − μ)(μᵢ − μ)ᵀ."""
    nums = torch.stack([part[:1, 0] for part in parts])
    means = torch.stack([part[1] for part in parts])
    mean = (nums * means).sum(0) / nums.sum()
    apart = (means - mean) * nums.sqrt()
    scatter = torch.stack([part[HEAD:] for part in parts]).sum(0) + apart.T @ apart
    return torch.cat([torch.full_like(mean, nums.sum().item())[None], mean[None], scatter])


def _unfolded(folded: Tensor) -> Moments:
    num = int(folded[0, 0])
    return Moments(num, folded[1], folded[HEAD:] / (num - 1))
