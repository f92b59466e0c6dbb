"""What every variational model has, whichever base trains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.losses.divergences import standard_normal_kl
from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.models.autoencoder.coding import EncoderDecoder
from ganvas.models.base import GenerativeModule
from ganvas.models.latent import checked_width
from ganvas.nn.likelihoods import Likelihood
from ganvas.types import Batch, GaussianPosterior, LossTerms


def as_posterior(encoded: Tensor) -> GaussianPosterior:
    """An encoder's outputs `(B, 2·Z)`, mu then log_var, in float32 at least."""
    encoded = encoded.to(torch.promote_types(encoded.dtype, torch.float32))
    mu, log_var = encoded.chunk(2, dim=1)
    return GaussianPosterior(mu, log_var)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats, `(B,)` for codes `(B, Z)`."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class LatentVariable(GenerativeModule):
    """Abstract: encoder to q(z|x), decoder to p(x|z), prior N(0, I); no objective yet.

    For models whose objective is their own. With an injected one, see `Variational`.

    Args:
        latent_dim: width Z of the code.
        network: factories `encoder` (asked for 2·Z outputs: mu, then log_var) and `decoder`.
        likelihood: p(x|z) from the decoder's outputs.
        base: arguments of the base.
    """

    standard_normal_prior = True
    monitor: ClassVar[str | None] = "val/elbo"
    monitor_mode: ClassVar[str] = "max"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "loss": False,
        "elbo": True,
        "distortion": False,
    }

    def __init__(
        self, *, latent_dim: int, network: EncoderDecoder, likelihood: Likelihood, **base: Any
    ) -> None:
        super().__init__(**base)
        self.latent_dim = checked_width(latent_dim)
        shape = self.image_shape
        self.encoder = network["encoder"](image_shape=shape, num_outputs=2 * latent_dim)
        self.decoder = network["decoder"](num_inputs=latent_dim, image_shape=shape)
        self.likelihood = likelihood

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def rate(self, posterior: GaussianPosterior, z: Tensor) -> Tensor:
        """KL(q(z|x) ‖ p(z)) in nats per image, `(B,)`: in closed form for p(z) = N(0, I).

        Args:
            posterior: q(z|x), `(B, Z)` each.
            z: codes `(B, Z)` drawn from it, for priors whose rate is estimated.
        """
        del z
        return standard_normal_kl(posterior)

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """The map from codes `(B, Z)` to log p(z) in nats, `(B,)`; here of N(0, I)."""
        return standard_normal_log_prob

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, `(B,)`, for images `(B, C, H, W)` and codes `(B, Z)`."""
        return self.likelihood.log_prob(x, self.decoder(z))

    def likelihood_kind(self) -> str:
        """What p(x|z) is a distribution over: see `Likelihood`."""
        return self.likelihood.kind

    def codes_from(self, noise: Callable[[int], Tensor]) -> Tensor:
        """Codes `(N, Z)` from the prior; `noise(width)` gives standard normal `(N, width)`."""
        return noise(self.latent_dim)

    def posterior(self, x: Tensor) -> GaussianPosterior:
        """q(z|x) for images `(B, C, H, W)` in [0, 1], in float32 at least."""
        return as_posterior(self.encoder(x))

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to posterior means `(B, Z)`."""
        return self.posterior(x).mu

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to mean images `(B, C, H, W)` in [0, 1]."""
        return self.likelihood.mean(self.decoder(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Mean images `(B, C, H, W)` decoded from posterior means."""
        return self.decode(self.encode(x))

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)` from the prior."""
        return self.codes_from(lambda width: self.prior_noise(num, width, seed=seed))

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Mean images `(num, C, H, W)` of codes from the prior (or of the codes `noise`)."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)


class Variational(LatentVariable):
    """Abstract: a latent variable model with an injected objective.

    To be combined with a base that trains it: `class VAE(Variational, AutomaticModule)`.

    Args:
        loss: from `VAEOutputs` to `LossTerms`.
        model: arguments of `LatentVariable` and of the base.
    """

    def __init__(self, *, loss: VAELoss, **model: Any) -> None:
        super().__init__(**model)
        self.loss = loss

    def outputs(self, batch: Batch) -> VAEOutputs:
        """One sampled code per image, and what it costs."""
        posterior = self.posterior(batch.x)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        return self.outputs_of(batch, posterior, z, decoded=self.decoder(z))

    def outputs_of(
        self, batch: Batch, posterior: GaussianPosterior, z: Tensor, *, decoded: Tensor
    ) -> VAEOutputs:
        """What the codes `(B, Z)` cost that the decoder maps to `decoded` `(B, C, H, W)`."""
        return VAEOutputs(
            posterior,
            z,
            log_likelihood=self.likelihood.log_prob(batch.x, decoded),
            rate=self.rate(posterior, z),
            draw_prior=lambda: self.codes_from(lambda width: self.noise(batch, width, use=1)),
        )

    def objective_terms(self, outputs: VAEOutputs) -> LossTerms:
        """The injected objective, with what the likelihood reports."""
        terms = self.loss(outputs, step=self.step)
        return LossTerms(terms.total, {**terms.parts, **self.likelihood.parts()})
