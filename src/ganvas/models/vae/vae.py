"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypedDict

from torch import Tensor, nn

from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.models.automatic import AutomaticModule, OptimizerFactory
from ganvas.models.latent import checked_width
from ganvas.nn.likelihoods import Likelihood
from ganvas.protocols import Decoder, Encoder
from ganvas.types import Batch, GaussianPosterior, ImageShape, LossTerms


class EncoderDecoder(TypedDict):
    """The `network` config of models with an encoder and a decoder."""

    encoder: Encoder
    decoder: Decoder


class VAE(AutomaticModule):
    """maximise E_q log p(x|z) − KL(q(z|x) ‖ N(0, I)) (Kingma & Welling 2014, arXiv:1312.6114).

    q(z|x) is a diagonal Gaussian; one code per image is drawn with z = mu + exp(log_var / 2) · ε.
    What exactly is minimised belongs to the injected loss.

    Args:
        image_shape: (C, H, W).
        latent_dim: width Z of the code.
        network: factories `encoder` (asked for 2·Z outputs: mu, then log_var) and `decoder`.
        likelihood: p(x|z) from the decoder's outputs.
        loss: from `VAEOutputs` and images to `LossTerms`.
        optimizer: factory of the optimiser.
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
        image_shape: ImageShape,
        latent_dim: int,
        network: EncoderDecoder,
        likelihood: Likelihood,
        loss: VAELoss,
        optimizer: OptimizerFactory,
    ) -> None:
        super().__init__(image_shape=image_shape, optimizer=optimizer)
        self.latent_dim = checked_width(latent_dim)
        self.encoder = network["encoder"](image_shape=image_shape, num_outputs=2 * latent_dim)
        self.decoder = network["decoder"](num_inputs=latent_dim, image_shape=image_shape)
        self.likelihood = likelihood
        self.loss = loss

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The injected objective on one sampled code per image."""
        posterior = self.posterior(batch.x)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        log_likelihood = self.likelihood.log_prob(batch.x, self.decoder(z))
        return self.loss(VAEOutputs(posterior, z, log_likelihood), batch.x, step=self.step)

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

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Mean images `(num, C, H, W)` of codes from the prior (or of the given `noise`)."""
        z = self.prior_noise(num, self.latent_dim, seed=seed) if noise is None else noise
        return self.decode(z)
