"""A rate that is steered to a rising target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.losses.weights import check_weights
from ganvas.schedules import as_schedule, lowest
from ganvas.types import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.protocols import Schedule


class CapacityLoss(VAELoss):
    """−E_q log p(x|z) + γ · |KL(q(z|x) ‖ p(z)) − C| (Burgess et al. 2018, arXiv:1804.03599, eq. 8).

    γ = 1 and C = 0 is the VAE. The KL inside |·| is the mean over the batch (of one rank), as the
    paper's expectation has it: single images may code more or less than C.

    Args:
        gamma: weight γ of the distance from C.
        capacity: C in nats per image, a number or a schedule over batches.

    Raises:
        ValueError: if a number below 0 is given.
    """

    def __init__(self, *, gamma: float, capacity: float | Schedule) -> None:
        check_weights(gamma=gamma)
        if (least := lowest(capacity)) < 0:
            raise ValueError(f"capacity must be at least 0 nats, got {least}; no KL can be below 0")
        self.gamma = gamma
        self.capacity = as_schedule(capacity)

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class; C is logged as `capacity`."""
        del outputs
        capacity = self.capacity(step)
        return LossTerms(
            distortion + self.gamma * (rate - capacity).abs(),
            {"capacity": rate.new_tensor(capacity)},
        )
