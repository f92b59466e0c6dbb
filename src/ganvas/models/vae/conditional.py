"""The conditional VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.losses.elbo import VAEOutputs
from ganvas.models.autoencoder.coding import EncoderDecoder
from ganvas.models.latent import checked_classes
from ganvas.models.vae.vae import VAE
from ganvas.models.vae.variational import as_posterior
from ganvas.nn.conditional import label_planes, with_class, with_plane
from ganvas.types import Batch, GaussianPosterior, ImageShape


def conditioned(network: EncoderDecoder, *, num_classes: int) -> EncoderDecoder:
    """Factories of an encoder that takes one more plane, and a decoder that takes a class, too."""

    def encoder(*, image_shape: ImageShape, num_outputs: int) -> nn.Module:
        channels, height, width = image_shape
        return network["encoder"](
            image_shape=(channels + 1, height, width), num_outputs=num_outputs
        )

    def decoder(*, num_inputs: int, image_shape: ImageShape) -> nn.Module:
        return network["decoder"](num_inputs=num_inputs + num_classes, image_shape=image_shape)

    return {"encoder": encoder, "decoder": decoder}


class ConditionalVAE(VAE):
    """maximise E_q(z|x,y) log p(x|z, y) − KL(q(z|x, y) ‖ N(0, I)) (Sohn et al. 2015, eq. 4).

    NeurIPS 2015, "Learning structured output representation using deep conditional generative
    models", with the class as condition and the image as output. The encoder sees the image and
    one more plane, a learned embedding of the label; the decoder sees the code and the label
    one-hot, times √K.

    Deviation: the prior does not depend on y, as in the M2 model of Kingma et al. 2014
    (arXiv:1406.5298, eq. 6), so that one code shows the same style in every class.

    Args:
        image_shape: (C, H, W).
        num_classes: classes K of the data; None where they have no labels.
        network: factories `encoder` and `decoder`.
        model: further arguments of `VAE`.

    Raises:
        ValueError: if the data have no labels.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_classes: int | None,
        network: EncoderDecoder,
        **model: Any,
    ) -> None:
        num_classes = checked_classes(num_classes, otherwise="vae")
        network = conditioned(network, num_classes=num_classes)
        super().__init__(image_shape=image_shape, network=network, **model)
        self.num_classes = num_classes
        self.label_plane = label_planes(  # at 1 they would drown the image
            num_classes=num_classes, image_shape=image_shape, std=0.1
        )

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and the embedding of labels."""
        return {**super().networks(), "label_plane": self.label_plane}

    def outputs(self, batch: Batch) -> VAEOutputs:
        """One sampled code per image, given its label."""
        posterior = self.posterior(batch.x, batch.y)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        return self.outputs_of(
            batch, posterior, z, decoded=self.decoder(self._with_class(z, batch.y))
        )

    def class_labels(self, num: int) -> Tensor:
        """Labels 0, 1, …, K − 1, 0, … `(num,)`."""
        return torch.arange(num, device=self.device) % self.num_classes

    def posterior(self, x: Tensor, y: Tensor | None = None) -> GaussianPosterior:
        """q(z|x, y) for images `(B, C, H, W)` in [0, 1] and labels `(B,)`."""
        return as_posterior(self.encoder(with_plane(x, y, planes=self.label_plane)))

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|z, y) in nats, `(B,)`, for images, codes `(B, Z)` and labels `(B,)`."""
        return super().log_likelihood(x, self._with_class(z, y))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] with labels `(B,)` to posterior means `(B, Z)`."""
        return self.posterior(x, y).mu

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes `(B, Z)` with labels `(B,)` to mean images `(B, C, H, W)` in [0, 1]."""
        return self.likelihood.mean(self.decoder(self._with_class(z, y)))

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean images `(B, C, H, W)` decoded from posterior means, given labels `(B,)`."""
        return self.decode(self.encode(x, y), y)

    def sample(
        self,
        num: int,
        *,
        noise: Tensor | None = None,
        seed: int = 0,
        y: Tensor | None = None,
    ) -> Tensor:
        """Mean images `(num, C, H, W)` of classes `y` `(num,)`; without, of each class in turn."""
        codes = self.prior_codes(num, seed=seed) if noise is None else noise
        return self.decode(codes, self.class_labels(num) if y is None else y)

    def _with_class(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Codes and one-hot labels times √K, `(B, Z + K)`."""
        return with_class(z, y, num_classes=self.num_classes)
