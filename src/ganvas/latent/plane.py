"""Codes in the plane, and where a prior lies in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.evaluation.mixture import Mixture
from ganvas.evaluation.priors import Given, NormalPrior
from ganvas.protocols import HasLikelihood

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

RADII = (1.0, 2.0, 3.0)
"""Of the circles around the mean of N(0, I)."""

SHARES = tuple(1 - math.exp(-(r**2) / 2) for r in RADII)
"""Of N(0, I) in the plane within them: 39 %, 86 % and 99 %."""

NUM_DRAWS = 10_000
"""Codes of a prior that levels of its density are found from."""


@dataclass(frozen=True)
class Projection:
    """z ↦ A (z − c), with orthonormal rows A.

    Attributes:
        rows: A, float64 `(2, Z)`.
        center: c, `(Z,)`.
        explained: share of the codes' variance along each row, `(2,)`; None where nothing is lost.
    """

    rows: Tensor
    center: Tensor
    explained: Tensor | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """Codes `(N, Z)` in the plane, float64 `(N, 2)`."""
        return (z.double() - self.center) @ self.rows.T


def unchanged() -> Projection:
    """Of codes that lie in the plane already."""
    return Projection(torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))


def principal(z: Tensor) -> Projection:
    """The two directions of greatest variance of codes `(N, Z)`, around their mean.

    The entry of each that is largest in magnitude is positive.

    Raises:
        ValueError: if all codes are the same.
    """
    z = z.double()
    center = z.mean(0)
    variances, vectors = torch.linalg.eigh(torch.cov((z - center).T, correction=0))
    if not variances.sum() > 0:
        raise ValueError(
            "codes must differ, got the same for all images: the encoder has collapsed"
        )
    rows = vectors.T.flip(0)[:2]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    explained = variances.flip(0)[:2].clamp(min=0) / variances.sum()
    return Projection(torch.where(largest < 0, -rows, rows), center, explained)


@dataclass(frozen=True)
class Shadow:
    """A prior in the plane.

    Attributes:
        name: of the prior.
        log_density: log p of points `(B, 2)`, `(B,)`.
        levels: of log p, whose contours hold `SHARES` of the prior, from the inside outwards.
        extent: lowest and highest coordinates within the outermost contour, `(2, 2)`.
    """

    name: str
    log_density: Callable[[Tensor], Tensor]
    levels: Sequence[float]
    extent: Tensor

    def inside(self, points: Tensor) -> list[float]:
        """The share of points `(N, 2)` within each contour."""
        log_density = self.log_density(points)
        return [float((log_density >= level).double().mean()) for level in self.levels]


def normal_shadow(projection: Projection) -> Shadow:
    """Of N(0, I): N(−A c, I), as the rows of A are orthonormal; contours are circles of `RADII`."""
    mean = projection(torch.zeros_like(projection.center)[None])

    def log_density(points: Tensor) -> Tensor:
        return -0.5 * (points - mean).square().sum(1) - math.log(2 * math.pi)

    levels = [-0.5 * r**2 - math.log(2 * math.pi) for r in RADII]
    extent = torch.cat([mean - RADII[-1], mean + RADII[-1]])
    return Shadow("prior N(0, I)", log_density, levels, extent)


def drawn_shadow(name: str, density: Callable[[Tensor], Tensor], points: Tensor) -> Shadow:
    """Of any density in the plane, from points `(N, 2)` that were drawn from it.

    The highest-density region that holds a share α ends where log p is the (1 − α) quantile of
    log p of the draws (Hyndman 1996, The American Statistician 50).
    """
    log_density = density(points)
    levels = torch.quantile(log_density, 1 - torch.tensor(SHARES, dtype=torch.float64))
    within = points[log_density >= levels[-1]]
    extent = torch.stack([within.amin(0), within.amax(0)])
    return Shadow(name, density, levels.tolist(), extent)


def projected(mixture: Mixture, projection: Projection) -> Mixture:
    """A mixture of Gaussians in the plane: means A (μ_k − c), covariances A L_k (A L_k)ᵀ."""
    roots = [
        projection.rows * root if root.ndim == 1 else projection.rows @ root
        for root in mixture.roots
    ]
    planar = torch.stack([torch.linalg.cholesky(root @ root.T) for root in roots])
    return Mixture(mixture.weights, projection(mixture.means), planar)


def shadow(scene: Scene, projection: Projection) -> Shadow | None:
    """The prior of a scene in the plane; None where its density there is not known.

    Raises:
        RunError: if the model has no prior.
    """
    prior, model = scene.prior, scene.view.module
    if isinstance(prior, Mixture):
        plane = projected(prior, projection)
        draws = projection(prior.codes(NUM_DRAWS, seed=scene.seed))
        return drawn_shadow("fitted prior", plane.log_prob, draws)
    asked = isinstance(prior, Given) and isinstance(prior.prior, NormalPrior)
    if asked or model.standard_normal_prior:
        return normal_shadow(projection)
    if projection.rows.shape[1] != len(projection.rows) or not isinstance(model, HasLikelihood):
        return None
    density = model.prior_density()

    def log_density(points: Tensor) -> Tensor:
        z = (points @ projection.rows + projection.center).float().to(model.device)
        with torch.no_grad():  # in parts: a mixture has a term for each point and component
            return torch.cat([density(part).double().cpu() for part in z.split(2000)])

    return drawn_shadow("prior", log_density, projection(scene.noise(NUM_DRAWS).z.cpu()))
