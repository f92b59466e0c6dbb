"""The plain autoencoder."""

from __future__ import annotations

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.types import Batch, LossTerms


class Autoencoder(Coding, AutomaticModule):
    """minimise E_x d(x, sigmoid(decoder(encoder(x)))) (Hinton & Salakhutdinov 2006, Science 313).

    Deviation: trained end to end from random weights, without layer-wise pre-training.

    Args:
        image_shape: (C, H, W).
        latent_dim: width Z of the code.
        network: factories `encoder` and `decoder`.
        loss: distance d, from outputs and images to `LossTerms`.
        optimizer: factory of the optimiser.
    """

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from its reconstruction."""
        return self.reconstruction_terms(batch.x, self.encode(batch.x))
