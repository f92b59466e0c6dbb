"""The denoising autoencoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.corruptions import Corruption
from ganvas.types import Batch, LossTerms


class DenoisingAutoencoder(Coding, AutomaticModule):
    """minimise E d(x, sigmoid(decoder(encoder(x̃)))) over images x and corruptions x̃ of them.

    Vincent et al. 2008 (ICML), sec. 2.3; 2010 (JMLR 11), sec. 3. Each image is corrupted anew at
    each step; in evaluation it is always corrupted in the same way. `encode` and `reconstruct`
    take their images as given: `reconstruct(corrupted)` denoises, and `reconstruction_mse` is the
    error on clean images, unlike the loss. It can be the larger one: clean images are as foreign
    to a network that only saw corrupted ones as these are to a plain autoencoder.

    Deviation: one autoencoder trained end to end, no stacking; encoder and decoder share no
    weights.

    Args:
        corruption: from images and noise to corrupted images.
        autoencoder: arguments of `Autoencoder`.
    """

    def __init__(self, *, corruption: Corruption, **autoencoder: Any) -> None:
        super().__init__(**autoencoder)
        self.corruption = corruption

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of clean images from what their corruptions are decoded to."""
        corrupted = self.corrupt(batch.x, self.noise(batch, *self.image_shape))
        return self.reconstruction_terms(batch.x, self.encode(corrupted))

    def corrupt(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images and normal noise of their shape `(B, C, H, W)` to what the network sees."""
        return self.corruption(x, noise)

    def corruption_words(self) -> str:
        """What the network learns to undo."""
        return str(self.corruption)
