"""What every autoencoder has, whichever base trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

from torch import Tensor, nn

from ganvas.losses.reconstruction import AutoencoderOutputs, ReconstructionLoss
from ganvas.models.base import GenerativeModule
from ganvas.models.latent import checked_width
from ganvas.protocols import Decoder, Encoder
from ganvas.types import LossTerms


class EncoderDecoder(TypedDict):
    """The `network` config of models with an encoder and a decoder."""

    encoder: Encoder
    decoder: Decoder


class CodingNetworks(GenerativeModule):
    """Abstract: encoder, decoder and the distance between image and reconstruction.

    How a code becomes an image is left to the subclass: `Coding`, where the code is all that the
    decoder needs.

    Args:
        latent_dim: width Z of the code.
        network: factories `encoder` and `decoder`.
        loss: distance of an image from its reconstruction.
        base: arguments of the base.
    """

    monitor: ClassVar[str | None] = "val/loss"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "loss": False,
        "mse": False,
        "l1": False,
        "bce": False,
    }

    def __init__(
        self, *, latent_dim: int, network: EncoderDecoder, loss: ReconstructionLoss, **base: Any
    ) -> None:
        super().__init__(**base)
        self.latent_dim = checked_width(latent_dim)
        shape = self.image_shape
        self.encoder = network["encoder"](image_shape=shape, num_outputs=latent_dim)
        self.decoder = network["decoder"](num_inputs=latent_dim, image_shape=shape)
        self.loss = loss

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`."""
        return self.encoder(x)


class Coding(CodingNetworks):
    """Abstract: an image is encoded, and decoded from its code alone.

    To be combined with a base that trains it: `class Autoencoder(Coding, AutomaticModule)`. The
    arguments are those of `CodingNetworks`.
    """

    def reconstruction_terms(self, x: Tensor, code: Tensor) -> LossTerms:
        """The distance of images `(B, C, H, W)` from what their codes `(B, Z)` are decoded to."""
        return self.loss(AutoencoderOutputs(code, self.decoder(code)), x, step=self.step)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in [0, 1]."""
        return self.decoder(z).sigmoid()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions in [0, 1]."""
        return self.decode(self.encode(x))
