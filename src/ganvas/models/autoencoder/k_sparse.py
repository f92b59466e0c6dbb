"""The k-sparse autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.types import Batch, LossTerms


class KSparseAutoencoder(Coding, AutomaticModule):
    """minimise E_x d(x, sigmoid(decoder(top_k(encoder(x))))) (Makhzani & Frey 2014).

    arXiv:1312.5663, sec. 2: the code is linear; of each image's units the k largest are kept, by
    value and not by magnitude, and all others set to 0. Gradients pass through kept units alone.
    In evaluation α·k units are kept (rounded), in `encode` and `reconstruct` as in the loss.

    Deviation: encoder and decoder share no weights, and k is the same from the first step on. The
    paper lowers it over the first epochs where k is small; without that, many units of a wide code
    never come to be kept.

    Args:
        k: units kept in training.
        alpha: factor on k in evaluation, at least 1.
        autoencoder: arguments of `Autoencoder`.

    Raises:
        ValueError: if more units would be kept than there are, or k or alpha is under 1.
    """

    def __init__(self, *, k: int, alpha: float, **autoencoder: Any) -> None:
        super().__init__(**autoencoder)
        width = self.latent_dim
        if not 1 <= k <= width:
            raise ValueError(
                f"k must be from 1 to latent_dim={width}, got {k}; lower k or widen the code"
            )
        if alpha < 1:
            raise ValueError(f"alpha must be at least 1, got {alpha}; 1 keeps k units everywhere")
        if round(alpha * k) > width:
            raise ValueError(
                f"alpha must keep at most latent_dim={width} units in evaluation, got {alpha}, "
                f"which keeps {round(alpha * k)} with k={k}; lower alpha or k, or widen the code"
            )
        self.k = k
        self.alpha = alpha

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from what its sparse codes are decoded to."""
        return self.reconstruction_terms(batch.x, self.encode(batch.x))

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`, k (α·k in evaluation) not zeroed."""
        k = self.k if self.training else round(self.alpha * self.k)
        return largest_units(super().encode(x), k)


def largest_units(code: Tensor, k: int) -> Tensor:
    """Codes `(B, Z)` with all but each row's k largest values set to 0; of ties, any."""
    values, units = code.topk(k, dim=1)
    return torch.zeros_like(code).scatter(1, units, values)
