"""The plain autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypedDict

from torch import Tensor, nn

from ganvas.losses.reconstruction import AutoencoderOutputs, ReconstructionLoss
from ganvas.models.automatic import AutomaticModule, OptimizerFactory
from ganvas.models.latent import checked_width
from ganvas.protocols import Decoder, Encoder
from ganvas.types import Batch, ImageShape, LossTerms


class EncoderDecoder(TypedDict):
    """The `network` config of models with an encoder and a decoder."""

    encoder: Encoder
    decoder: Decoder


class Autoencoder(AutomaticModule):
    """minimise E_x d(x, sigmoid(decoder(encoder(x)))) (Hinton & Salakhutdinov 2006, Science 313).

    Deviation: trained end to end from random weights, without layer-wise pre-training.

    Args:
        image_shape: (C, H, W).
        latent_dim: width Z of the code.
        network: factories `encoder` and `decoder`.
        loss: distance d, from outputs and images to `LossTerms`.
        optimizer: factory of the optimiser.
    """

    monitor: ClassVar[str | None] = "val/loss"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "loss": False,
        "mse": False,
        "l1": False,
        "bce": False,
    }

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        latent_dim: int,
        network: EncoderDecoder,
        loss: ReconstructionLoss,
        optimizer: OptimizerFactory,
    ) -> None:
        super().__init__(image_shape=image_shape, optimizer=optimizer)
        self.latent_dim = checked_width(latent_dim)
        self.encoder = network["encoder"](image_shape=image_shape, num_outputs=latent_dim)
        self.decoder = network["decoder"](num_inputs=latent_dim, image_shape=image_shape)
        self.loss = loss

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from its reconstruction."""
        code = self.encoder(batch.x)
        return self.loss(AutoencoderOutputs(code, self.decoder(code)), batch.x, step=self.step)

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in [0, 1]."""
        return self.decoder(z).sigmoid()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions in [0, 1]."""
        return self.decode(self.encode(x))
