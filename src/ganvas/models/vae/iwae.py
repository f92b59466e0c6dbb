"""The importance-weighted autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.losses.iwae import importance_weighted_bound, reparameterize_twice
from ganvas.models.automatic import AutomaticModule
from ganvas.models.vae.variational import LatentVariable
from ganvas.types import Batch, GaussianPosterior, LossTerms


class IWAE(LatentVariable, AutomaticModule):
    """maximise E log 1/K Σ_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x) (Burda et al. 2016, eq. 8).

    arXiv:1509.00519. K codes per image are folded into the batch. With `doubly_reparameterized`
    the encoder's gradient is Σ_k w̃_k² ∂ log w_k/∂z_k ∂z_k/∂φ (Tucker et al. 2019, arXiv:1810.04152,
    eq. 8): the same in expectation, with less variance; the decoder's is IWAE's own.

    The parts `distortion` (mean over the K codes), `rate` (exact) and `elbo` are those of a VAE
    with the same weights; `iwae` is the bound that is trained.

    Deviation: one stochastic layer; the learning rate follows the trainer, not the paper's steps.

    Args:
        num_samples: codes K per image.
        gradient: of the encoder.
        model: image_shape, latent_dim, network, likelihood, optimizer.

    Raises:
        ValueError: if num_samples is under 1.
    """

    monitor: ClassVar[str | None] = "val/iwae"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        **LatentVariable.higher_is_better,
        "iwae": True,
    }

    def __init__(
        self,
        *,
        num_samples: int,
        gradient: Literal["standard", "doubly_reparameterized"],
        **model: Any,
    ) -> None:
        super().__init__(**model)
        if num_samples < 1:
            raise ValueError(
                f"num_samples must be at least 1, got {num_samples}; 1 gives the sampled ELBO"
            )
        self.num_samples = num_samples
        self.doubly_reparameterized = gradient == "doubly_reparameterized"

    def loss_terms(self, batch: Batch) -> LossTerms:
        """Minus the bound, in nats per image."""
        posterior = self.posterior(batch.x)
        noise = self.noise(batch, self.num_samples, self.latent_dim)
        log_likelihood, log_weights = self.log_weights(batch.x, posterior, noise)
        bound = importance_weighted_bound(log_weights).mean()
        distortion = -log_likelihood.mean()
        rate = self.rate(posterior, posterior.mu).mean()
        parts = {"distortion": distortion, "rate": rate, "elbo": -distortion - rate, "iwae": bound}
        return LossTerms(-bound, {**parts, **self.likelihood.parts()})

    def log_weights(
        self, x: Tensor, posterior: GaussianPosterior, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """log p(x|z_k) and log w_k, each `(B, K)` nats, for noise `(B, K, Z)`."""
        num = noise.shape[1]
        q = GaussianPosterior(
            posterior.mu.repeat_interleave(num, 0), posterior.log_var.repeat_interleave(num, 0)
        )
        z = q.sample(noise.flatten(0, 1))
        if self.doubly_reparameterized:
            q = GaussianPosterior(q.mu.detach(), q.log_var.detach())
        prior = GaussianPosterior(torch.zeros_like(z), torch.zeros_like(z))
        images = x.repeat_interleave(num, 0)
        log_likelihood = self.likelihood.log_prob(images, self.decoder(z)).view(-1, num)
        log_weights = log_likelihood + (prior.log_prob(z) - q.log_prob(z)).view(-1, num)
        if self.doubly_reparameterized:
            reparameterize_twice(z, log_weights)
        return log_likelihood, log_weights
