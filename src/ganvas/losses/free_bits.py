"""A rate that costs nothing below a floor."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ganvas.losses.divergences import standard_normal_kl_per_dim
from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.types import LossTerms

if TYPE_CHECKING:
    from torch import Tensor


class FreeBitsLoss(VAELoss):
    """−E_q log p(x|z) + Σ_j max(λ, E_x KL(q(z_j|x) ‖ N(0, 1))).

    Kingma et al. 2016, arXiv:1606.04934, eq. 15; λ = 0 is the VAE. E_x is the mean over the batch
    (of one rank), so the objective does depend on how a batch is cut. The prior is N(0, I). The
    reported `rate` and `elbo` hold the KL as it is; the sum of maxima is `floored_rate`.

    Deviation: each dimension is a group of its own; the paper groups feature maps.

    Args:
        free_bits: λ in nats (not bits, as is usual) per dimension.

    Raises:
        ValueError: if it is below 0.
    """

    standard_normal_prior: ClassVar[bool] = True

    def __init__(self, *, free_bits: float) -> None:
        if not free_bits >= 0:
            raise ValueError(
                f"free_bits must be at least 0 nats per dimension, got {free_bits}; 0 is the ELBO"
            )
        self.free_bits = free_bits

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class."""
        del rate, step
        means = standard_normal_kl_per_dim(outputs.posterior).mean(0)
        floored = means.clamp(min=self.free_bits).sum()
        return LossTerms(distortion + floored, {"floored_rate": floored})
