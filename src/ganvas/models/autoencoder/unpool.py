"""The autoencoder that unpools to where pooling took its values from."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganvas.losses.reconstruction import AutoencoderOutputs
from ganvas.models.autoencoder.coding import CodingNetworks
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.unpool import PoolEncoder, UnpoolDecoder
from ganvas.types import Batch, LossTerms


class UnpoolAutoencoder(CodingNetworks, AutomaticModule):
    """minimise E_x d(x, sigmoid(decoder(z, i))) with (z, i) = encoder(x), i the places of maxima.

    Unpooling by remembered places ("switches") is of Zeiler, Taylor & Fergus 2011 (ICCV, sec. 2.1)
    and Noh et al. 2015 (arXiv:1505.04366, sec. 3.2); as an autoencoder it is the what-where
    autoencoder of Zhao et al. 2015 (arXiv:1506.02351, sec. 3.1).

    A code alone does not say where, so this model encodes and reconstructs but decodes nothing.
    The places carry information past the code (2 bits for each pooled value), so its error is not
    to be compared with that of autoencoders that have the code alone.

    Deviation: a dense code between pooling and unpooling, and no terms on intermediate layers.

    Args:
        network: factories of a `PoolEncoder` and an `UnpoolDecoder`.
        autoencoder: as of every autoencoder: `image_shape`, `latent_dim`, `loss`, `optimizer`.

    Raises:
        ValueError: if the networks don't pool and unpool, or not in the same way.
    """

    encoder: PoolEncoder
    decoder: UnpoolDecoder

    def __init__(self, **autoencoder: Any) -> None:
        super().__init__(**autoencoder)
        encoder, decoder = self.encoder, self.decoder
        if not (isinstance(encoder, PoolEncoder) and isinstance(decoder, UnpoolDecoder)):
            raise ValueError(
                "network must remember where it pools (PoolEncoder and UnpoolDecoder), got "
                f"{type(encoder).__name__} and {type(decoder).__name__}; choose network=unpool"
            )
        if encoder.pooling != decoder.pooling:
            raise ValueError(
                f"network.decoder.pooling must be the encoder's, {encoder.pooling}, got "
                f"{decoder.pooling}; set network.encoder.pooling alone"
            )

    def outputs(self, x: Tensor) -> AutoencoderOutputs:
        """Codes, and logits unpooled to the places that the encoder remembers."""
        code, indices = self.encoder.code_and_indices(x)
        return AutoencoderOutputs(code, self.decoder(code, indices))

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from its reconstruction."""
        return self.loss(self.outputs(batch.x), batch.x, step=self.step)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions in [0, 1]."""
        return self.outputs(x).reconstruction
