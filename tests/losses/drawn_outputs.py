"""Outputs of a VAE that never was, for tests of objectives."""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.losses.divergences import standard_normal_kl
from ganvas.losses.elbo import ElboLoss, VAEOutputs
from ganvas.types import GaussianPosterior, LossTerms


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def drawn_outputs(
    batch: int = 6, width: int = 3, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> VAEOutputs:
    """Random posteriors, one code from each, random distortions."""
    log_var = normal(batch, width, seed=seed + 1, dtype=dtype) - 1.0
    posterior = GaussianPosterior(normal(batch, width, seed=seed, dtype=dtype), log_var)
    return VAEOutputs(
        posterior,
        posterior.sample(normal(batch, width, seed=seed + 2, dtype=dtype)),
        log_likelihood=-50 * normal(batch, seed=seed + 3, dtype=dtype).abs(),
        rate=standard_normal_kl(posterior),
        draw_prior=lambda: normal(batch, width, seed=seed + 4, dtype=dtype),
    )


def part_of(outputs: VAEOutputs, part: slice) -> VAEOutputs:
    """The same for some of the images."""
    return VAEOutputs(
        GaussianPosterior(outputs.posterior.mu[part], outputs.posterior.log_var[part]),
        outputs.z[part],
        outputs.log_likelihood[part],
        outputs.rate[part],
        draw_prior=lambda: outputs.draw_prior()[part],
    )


def elbo_terms(outputs: VAEOutputs) -> LossTerms:
    """What the plain VAE makes of them."""
    return ElboLoss(beta=1.0, reconstruction_weight=1.0)(outputs, step=0)
