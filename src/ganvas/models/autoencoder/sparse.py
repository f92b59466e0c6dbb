"""The sparse autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.types import Batch, LossTerms


class SparseAutoencoder(Coding, AutomaticModule):
    """minimise E_x d(x, x̂) + w · Σ_j KL(ρ ‖ ρ̂_j), codes sigmoid(encoder(x)) in (0, 1).

    Ng 2011 (Sparse autoencoder, CS294A lecture notes); the idea of a target for mean activations is
    that of Lee, Ekanadham & Ng 2008 (NIPS 20). ρ̂_j is the mean activation of unit j over the batch
    at hand, so `sparsity_penalty` belongs to a batch, not to an image: unlike the distance, its
    mean depends on the batch size.

    Deviation: batches where the notes take the whole training set for ρ̂; weight decay is left to
    the optimizer; d = Σ (x − x̂)² is twice the notes' ½ ‖x − x̂‖², so their weight 3 is 6 here.

    Args:
        sparsity: the target ρ.
        sparsity_weight: the weight w.
        autoencoder: arguments of `Autoencoder`.

    Raises:
        ValueError: if ρ is outside (0, 1) or w negative.
    """

    def __init__(self, *, sparsity: float, sparsity_weight: float, **autoencoder: Any) -> None:
        super().__init__(**autoencoder)
        if not 0 < sparsity < 1:
            raise ValueError(
                f"sparsity must be in (0, 1), got {sparsity}; it is a mean activation, such as 0.05"
            )
        if sparsity_weight < 0:
            raise ValueError(
                f"sparsity_weight must be at least 0, got {sparsity_weight}; 0 turns it off"
            )
        self.sparsity = sparsity
        self.sparsity_weight = sparsity_weight

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance and the weighted penalty on the batch's mean activations."""
        code = self.encode(batch.x)
        penalty = sparsity_penalty(code, self.sparsity)
        terms = self.reconstruction_terms(batch.x, code)
        return terms.plus("sparsity_penalty", penalty, weight=self.sparsity_weight)

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to activations `(B, Z)` in (0, 1)."""
        return super().encode(x).sigmoid()


def sparsity_penalty(code: Tensor, sparsity: float) -> Tensor:
    """Σ_j ρ log(ρ/ρ̂_j) + (1 − ρ) log((1 − ρ)/(1 − ρ̂_j)) in nats, ρ̂ the means over the batch.

    Finite for dead and saturated units, whose ρ̂ of 0 or 1 is moved inwards by the float's epsilon.

    Args:
        code: activations in [0, 1], `(B, Z)`.
        sparsity: ρ in (0, 1).
    """
    usage = code.float().mean(0)
    tiny = torch.finfo(usage.dtype).eps
    usage = usage.clamp(tiny, 1 - tiny)
    rho = torch.full_like(usage, sparsity)
    active = rho * (rho.log() - usage.log())
    silent = (1 - rho) * ((1 - rho).log() - (1 - usage).log())
    return (active + silent).sum()
