"""The regularised autoencoder."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ganvas.models.autoencoder.coding import Coding
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.jacobian import projected_jacobian
from ganvas.types import Batch, LossTerms

Regularizer = Literal["gradient_penalty", "l2", "none"]


class RegularizedAutoencoder(Coding, AutomaticModule):
    """minimise E_x d(x, D(z)) + β · ½ ‖z‖² + λ · L_reg with z = encoder(x) (RAE).

    Ghosh et al. 2020, arXiv:1903.12436, sec. 3 and 3.1. L_reg, and the part of that name, is
    - `gradient_penalty`: ‖∂D/∂z‖²_F at z, D the decoded image in [0, 1] and z not held fixed; an
      unbiased estimate of it, ‖vᵀ ∂D/∂z‖² with one v ~ N(0, I) of the image's shape per image;
    - `l2`: Σ θ² over all of the decoder's parameters;
    - `none`: nothing, the plain RAE.

    This is not a sampler: the paper fits a density to the codes once training is over, and only
    that density can be sampled.

    Deviation: the authors' code penalises the gradient of Σ D(z)² instead of D's Jacobian, and
    averages where sums are taken here. β in the config is theirs on this scale, λ of their order.

    Args:
        code_weight: the weight β.
        regularizer: L_reg.
        regularizer_weight: the weight λ.
        autoencoder: arguments of `Autoencoder`.

    Raises:
        ValueError: if there is no such regulariser, or a weight is negative.
    """

    def __init__(
        self,
        *,
        code_weight: float,
        regularizer: Regularizer,
        regularizer_weight: float,
        **autoencoder: Any,
    ) -> None:
        super().__init__(**autoencoder)
        if regularizer not in get_args(Regularizer):
            known = ", ".join(get_args(Regularizer))
            raise ValueError(f"regularizer must be one of {known}, got {regularizer}")
        weights = {"code_weight": code_weight, "regularizer_weight": regularizer_weight}
        for key, weight in weights.items():
            if weight < 0:
                raise ValueError(f"{key} must be at least 0, got {weight}; 0 turns its term off")
        self.code_weight = code_weight
        self.regularizer = regularizer
        self.regularizer_weight = regularizer_weight

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance, the codes' size (`code_norm`) and the weighted regulariser."""
        code = self.encode(batch.x)
        size = 0.5 * code.float().square().sum(1).mean()
        terms = self.reconstruction_terms(batch.x, code).plus(
            "code_norm", size, weight=self.code_weight
        )
        match self.regularizer:
            case "none":
                return terms
            case "l2":
                value = self._squared_weights()
            case "gradient_penalty":
                value = self._gradient_penalty(batch, code)
        return terms.plus(self.regularizer, value, weight=self.regularizer_weight)

    def _gradient_penalty(self, batch: Batch, code: Tensor) -> Tensor:
        """See the class.

        A second derivative can't pass a compiled decoder, so its plain `forward` is called.
        """
        noise = self.noise(batch, *self.image_shape)
        with torch.enable_grad():
            z = code if code.requires_grad else code.detach().requires_grad_()
            images = self.decoder.forward(z).sigmoid()
            return projected_jacobian(images, z, noise[None]).mean()

    def _squared_weights(self) -> Tensor:
        """Σ θ² over the decoder's parameters, a scalar."""
        return torch.stack([p.float().square().sum() for p in self.decoder.parameters()]).sum()
