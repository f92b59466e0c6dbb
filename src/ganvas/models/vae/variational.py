"""What every variational model has, whichever base trains it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from ganvas.losses.divergences import standard_normal_kl
from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.models.autoencoder.coding import EncoderDecoder
from ganvas.models.base import GenerativeModule
from ganvas.models.latent import checked_width
from ganvas.nn.likelihoods import Likelihood
from ganvas.types import Batch, GaussianPosterior, LossTerms


class Variational(GenerativeModule):
    """Abstract: encoder to q(z|x), decoder to p(x|z), prior N(0, I), and the injected objective.

    To be combined with a base that trains it: `class VAE(Variational, AutomaticModule)`.

    Args:
        latent_dim: width Z of the code.
        network: factories `encoder` (asked for 2·Z outputs: mu, then log_var) and `decoder`.
        likelihood: p(x|z) from the decoder's outputs.
        loss: from `VAEOutputs` to `LossTerms`.
        base: arguments of the base.
    """

    monitor: ClassVar[str | None] = "val/elbo"
    monitor_mode: ClassVar[str] = "max"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "loss": False,
        "elbo": True,
        "distortion": False,
    }

    def __init__(
        self,
        *,
        latent_dim: int,
        network: EncoderDecoder,
        likelihood: Likelihood,
        loss: VAELoss,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.latent_dim = checked_width(latent_dim)
        shape = self.image_shape
        self.encoder = network["encoder"](image_shape=shape, num_outputs=2 * latent_dim)
        self.decoder = network["decoder"](num_inputs=latent_dim, image_shape=shape)
        self.likelihood = likelihood
        self.loss = loss

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def outputs(self, batch: Batch) -> VAEOutputs:
        """One sampled code per image, and what it costs."""
        posterior = self.posterior(batch.x)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        return VAEOutputs(
            posterior,
            z,
            log_likelihood=self.likelihood.log_prob(batch.x, self.decoder(z)),
            rate=self.rate(posterior, z),
            draw_prior=partial(self.noise, batch, self.latent_dim, use=1),
        )

    def objective_terms(self, outputs: VAEOutputs) -> LossTerms:
        """The injected objective, with what the likelihood reports."""
        terms = self.loss(outputs, step=self.step)
        return LossTerms(terms.total, {**terms.parts, **self.likelihood.parts()})

    def rate(self, posterior: GaussianPosterior, z: Tensor) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) in nats per image, `(B,)`, in closed form."""
        del z
        return standard_normal_kl(posterior)

    def posterior(self, x: Tensor) -> GaussianPosterior:
        """q(z|x) for images `(B, C, H, W)` in [0, 1]."""
        mu, log_var = self.encoder(x).float().chunk(2, dim=1)
        return GaussianPosterior(mu, log_var)

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
        """Codes `(num, Z)` from N(0, I)."""
        return self.prior_noise(num, self.latent_dim, seed=seed)

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Mean images `(num, C, H, W)` of codes from the prior (or of the given `noise`)."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)
