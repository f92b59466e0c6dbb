"""The VAE with a mixture of posteriors as its prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.models.vae.vae import VAE
from ganvas.types import GaussianPosterior, ImageShape


class PseudoInputs(nn.Module):
    """Learned images u_k in [0, 1].

    Args:
        num: how many.
        image_shape: (C, H, W).
        mean: of the normal distribution that the pixels are first drawn from.
        std: its standard deviation.
    """

    def __init__(self, num: int, *, image_shape: ImageShape, mean: float, std: float) -> None:
        super().__init__()
        self.pixels = nn.Parameter(mean + std * torch.randn(num, *image_shape))

    def forward(self) -> Tensor:
        """The images `(K, C, H, W)`."""
        return self.pixels.clamp(0, 1)


class VampVAE(VAE):
    """A VAE whose prior is p(z) = 1/K Σ_k q(z|u_k) (Tomczak & Welling 2018).

    arXiv:1705.07120; a variational mixture of posteriors. The pseudo-inputs u_k are trained with
    the networks, by whatever objective is injected. The rate is log q(z|x) − log p(z) at the one
    sampled z: right in expectation, and in a single batch it may come out a little below 0.

    Deviation: one stochastic layer and plain instead of gated dense layers.

    Args:
        num_pseudo_inputs: images K; each training step encodes all of them.
        pseudo_input_mean: mean of their first pixels.
        pseudo_input_std: standard deviation of their first pixels.
        model: arguments of `VAE`.

    Raises:
        ValueError: if there is no pseudo-input, the standard deviation is not positive, or the
            objective holds for the prior N(0, I) alone.
    """

    standard_normal_prior = False

    def __init__(
        self,
        *,
        num_pseudo_inputs: int,
        pseudo_input_mean: float,
        pseudo_input_std: float,
        **model: Any,
    ) -> None:
        super().__init__(**model)
        if num_pseudo_inputs < 1:
            raise ValueError(
                f"num_pseudo_inputs must be at least 1, got {num_pseudo_inputs}; "
                "for a fixed prior use model=vae"
            )
        if self.loss.standard_normal_prior:
            raise ValueError(
                f"{type(self.loss).__name__} is written for the prior N(0, I), and this model "
                "learns its own; choose loss=elbo, capacity or info"
            )
        if pseudo_input_std <= 0:
            raise ValueError(
                f"pseudo_input_std must be positive, got {pseudo_input_std}; "
                "equal pseudo-inputs would stay equal"
            )
        self.pseudo_inputs = PseudoInputs(
            num_pseudo_inputs,
            image_shape=self.image_shape,
            mean=pseudo_input_mean,
            std=pseudo_input_std,
        )

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and pseudo-inputs."""
        return {**super().networks(), "pseudo_inputs": self.pseudo_inputs}

    def components(self) -> GaussianPosterior:
        """The prior's components q(z|u_k), `(K, Z)` each."""
        return self.posterior(self.pseudo_inputs())

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, `(B,)` for codes `(B, Z)`."""
        log_probs = self.components().log_prob(z[:, None])
        return log_probs.logsumexp(1) - math.log(log_probs.shape[1])

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """As `prior_log_prob`, for many codes: the pseudo-inputs are encoded once for all."""
        return partial(mixture_log_prob, self.components())

    def rate(self, posterior: GaussianPosterior, z: Tensor) -> Tensor:
        """log q(z|x) − log p(z) in nats per image, `(B,)`: KL(q(z|x) ‖ p(z)) from one sample."""
        return posterior.log_prob(z) - self.prior_log_prob(z)

    def codes_from(self, noise: Callable[[int], Tensor]) -> Tensor:
        """Codes `(N, Z)`, each from a component drawn uniformly; see `LatentVariable`."""
        normal, choice = noise(self.latent_dim + 1).split([self.latent_dim, 1], dim=1)
        components = self.components()
        num = len(components.mu)
        k = (torch.special.ndtr(choice[:, 0]) * num).long().clamp(max=num - 1)
        return GaussianPosterior(components.mu[k], components.log_var[k]).sample(normal)


def mixture_log_prob(components: GaussianPosterior, z: Tensor) -> Tensor:
    """log 1/K Σ_k N(z; mu_k, diag σ_k²) in nats, float64 `(B,)`, for codes `(B, Z)`.

    Σ (z − mu)² / σ² is multiplied out, so that no tensor `(B, K, Z)` is made: in float64, as the
    terms are large and nearly cancel where σ is small.
    """
    mu, log_var, z = components.mu.double(), components.log_var.double(), z.double()
    precision = (-log_var).exp()
    constant = (mu.square() * precision + log_var + math.log(2 * math.pi)).sum(1)
    squared = z.square() @ precision.T - 2 * z @ (mu * precision).T + constant
    return (-0.5 * squared).logsumexp(1) - math.log(len(mu))
