"""Mixtures of Gaussians over codes: fitted to codes, and drawn from by index."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ganvas.errors import GanvasWarning
from ganvas.nn.noise import keyed_generator, keyed_normal

Covariance = Literal["full", "diag"]

STREAM = 3
"""Of the key of drawn codes: training, evaluation and a model's own prior are 0 to 2."""

BLOCK = 256
"""Codes that are drawn together, so that a code does not depend on how many are asked for."""

FLOOR = 1e-6
"""Added to each variance, in units of the mean variance: codes may lie in a subspace."""

MAX_STEPS = 300
"""Of expectation and maximisation."""


@dataclass(frozen=True)
class Mixture:
    """p(z) = Σ_k w_k N(z | μ_k, L_k L_kᵀ), in float64 on the CPU.

    Attributes:
        weights: w `(K,)`, of sum 1.
        means: μ `(K, Z)`.
        roots: L `(K, Z, Z)`, lower triangular; of diagonal covariances their diagonal, `(K, Z)`.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Mixture | None:
        """The mixture that `tensors` describes; None where it describes none."""
        if tensors.keys() != {"weights", "means", "roots"}:
            return None
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        num, width = (*shapes["means"], 0, 0)[:2]
        possible = [
            {"weights": (num,), "means": (num, width), "roots": (num, width, *last)}
            for last in ((), (width,))
        ]
        finite = all(t.isfinite().all() and t.dtype == torch.float64 for t in tensors.values())
        return cls(**tensors) if shapes in possible and finite else None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        return {"weights": self.weights, "means": self.means, "roots": self.roots}

    def codes(self, num: int, *, seed: int) -> Tensor:
        """z = μ_k + L_k ε with k ~ w, float32 `(num, Z)`: the i-th is a function of (seed, i)."""
        blocks = [self._block(index, seed=seed) for index in range(-(-num // BLOCK))]
        return torch.cat(blocks)[:num].float()

    def _block(self, index: int, *, seed: int) -> Tensor:
        draws = keyed_generator("cpu", seed, STREAM, index, 1)
        uniform = torch.rand(BLOCK, dtype=torch.float64, generator=draws)
        noise = keyed_normal((BLOCK, self.means.shape[1]), seed, STREAM, index, device="cpu")
        last = len(self.weights) - 1  # where rounding leaves the sum of all weights below 1
        chosen = torch.searchsorted(self.weights.cumsum(0), uniform, right=True).clamp(max=last)
        z = torch.empty_like(noise, dtype=torch.float64)
        for k in chosen.unique().tolist():
            mine, root = chosen == k, self.roots[k]
            e = noise[mine].double()
            z[mine] = self.means[k] + (e * root if root.ndim == 1 else e @ root.T)
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, `(B,)` for codes `(B, Z)`."""
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            centred = (z.double() - mean).T
            if root.ndim == 1:
                e, scales = centred / root[:, None], root
            else:
                e = torch.linalg.solve_triangular(root, centred, upper=False)
                scales = root.diagonal()
            constant = scales.log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
            parts.append(weight.log() - constant - 0.5 * e.square().sum(0))
        return torch.stack(parts).logsumexp(0)


def fit_gaussian(codes: Tensor, *, covariance: Covariance) -> Mixture:
    """The Gaussian of greatest likelihood: mean and covariance (over N) of codes `(N, Z)`.

    Variances have 10⁻⁶ of their mean added.

    Raises:
        ValueError: if the codes are not finite, fewer than 2, or all the same.
    """
    codes, scale = _checked(codes)
    mean = codes.mean(0)
    centred = (codes - mean) / scale
    if covariance == "diag":
        root = (centred.square().mean(0) + FLOOR).sqrt()
    else:
        floor = FLOOR * torch.eye(len(mean), dtype=torch.float64)
        root = torch.linalg.cholesky(centred.T @ centred / len(codes) + floor)
    return Mixture(torch.ones(1, dtype=torch.float64), mean[None], scale * root[None])


def fit_mixture(codes: Tensor, *, components: int, covariance: Covariance, seed: int) -> Mixture:
    """A mixture of greatest likelihood for codes `(N, Z)`, by scikit-learn's EM from k-means.

    Variances have 10⁻⁶ of the codes' mean variance added.

    Args:
        codes: to fit.
        components: their number K.
        covariance: of each component.
        seed: of k-means.

    Raises:
        ValueError: if the codes are not finite, fewer than K, or all the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    codes, scale = _checked(codes, least=components)
    center = codes.mean(0)
    model = GaussianMixture(
        components,
        covariance_type=covariance,
        reg_covar=FLOOR,
        max_iter=MAX_STEPS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(((codes - center) / scale).numpy())
    if not model.converged_:
        text = f"the mixture of {components} has not converged in {MAX_STEPS} steps of EM"
        warnings.warn(f"{text}; it is used as it is", GanvasWarning, stacklevel=2)
    weights, means, covariances = (
        torch.from_numpy(part) for part in (model.weights_, model.means_, model.covariances_)
    )
    roots = covariances.sqrt() if covariance == "diag" else torch.linalg.cholesky(covariances)
    return Mixture(weights / weights.sum(), center + scale * means, scale * roots)


def _checked(codes: Tensor, *, least: int = 2) -> tuple[Tensor, Tensor]:
    """The codes in float64, and the root of their mean variance."""
    if not codes.isfinite().all():
        raise ValueError("codes must be finite, got NaN or infinite ones; the encoder has diverged")
    if len(codes) < max(least, 2):
        raise ValueError(f"there must be at least {max(least, 2)} codes, got {len(codes)}")
    codes = codes.double()
    variance = codes.var(0, correction=0).mean()
    if variance == 0:
        raise ValueError(
            "codes must differ, got the same for all images; the encoder has collapsed"
        )
    return codes, variance.sqrt()
