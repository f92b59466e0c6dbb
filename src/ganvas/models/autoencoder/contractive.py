"""The contractive autoencoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.jacobian import projected_jacobian
from ganvas.types import Batch, LossTerms


class ContractiveAutoencoder(Coding, AutomaticModule):
    """minimise E_x d(x, x̂) + λ · ‖∂h/∂x‖²_F with codes h = encoder(x).

    Rifai et al. 2011 (ICML), sec. 2 and 3. The norm is exact for any encoder: one backward pass for
    each of its Z units. `num_projections` takes the mean of ‖vᵀ ∂h/∂x‖² over as many v ~ N(0, I)
    instead, an unbiased estimate (Hutchinson 1990) at a cost that doesn't grow with Z.

    Deviation: any encoder, with a linear last layer as in `Autoencoder`, where the paper has one
    sigmoid layer; narrow sigmoid codes learn slowly. Encoder and decoder share no weights. An
    encoder with batch norm is penalised for what images do to each other, too.

    Args:
        contraction_weight: the weight λ.
        num_projections: random directions for the estimate; None for the exact norm.
        autoencoder: arguments of `Autoencoder`.

    Raises:
        ValueError: if λ is negative or there is no projection.
    """

    def __init__(
        self, *, contraction_weight: float, num_projections: int | None, **autoencoder: Any
    ) -> None:
        super().__init__(**autoencoder)
        if contraction_weight < 0:
            raise ValueError(
                f"contraction_weight must be at least 0, got {contraction_weight}; "
                "0 leaves a plain autoencoder"
            )
        if num_projections is not None and num_projections < 1:
            raise ValueError(
                f"num_projections must be at least 1, got {num_projections}; null is exact"
            )
        self.contraction_weight = contraction_weight
        self.num_projections = num_projections

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance and the weighted norm, `contraction`; gradients are taken in evaluation too.

        A second derivative can't pass a compiled encoder, so its plain `forward` is called.
        """
        with torch.enable_grad():
            x = batch.x.detach().requires_grad_()
            code = self.encoder.forward(x)
            norms = projected_jacobian(code, x, self._directions(batch))
        terms = self.reconstruction_terms(batch.x, code)
        return terms.plus("contraction", norms.mean(), weight=self.contraction_weight)

    def _directions(self, batch: Batch) -> Tensor:
        """Unit vectors `(Z, B, Z)`, or normal ones of this batch `(K, B, Z)` divided by √K."""
        if self.num_projections is None:
            units = torch.eye(self.latent_dim, device=batch.x.device)
            return units[:, None].expand(-1, len(batch), -1)
        noise = self.noise(batch, self.num_projections, self.latent_dim)
        return noise.transpose(0, 1) / math.sqrt(self.num_projections)
