"""The evidence lower bound and its β-weighted training objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganvas.losses.divergences import standard_normal_kl
from ganvas.schedules import as_schedule
from ganvas.types import GaussianPosterior, LossTerms

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.protocols import Schedule


@dataclass(frozen=True)
class VAEOutputs:
    """What a VAE hands to its loss.

    Attributes:
        posterior: q(z|x), `(B, Z)` each.
        z: the sampled codes, `(B, Z)`.
        log_likelihood: log p(x|z) in nats per image, `(B,)`.
    """

    posterior: GaussianPosterior
    z: Tensor
    log_likelihood: Tensor


class VAELoss(ABC):
    """Abstract: an objective of a model that gives `VAEOutputs`."""

    @abstractmethod
    def __call__(self, outputs: VAEOutputs, x: Tensor, *, step: int) -> LossTerms:
        """The objective for images `x` `(B, C, H, W)` at `step`, in nats per image."""


class ElboLoss(VAELoss):
    """−E_q log p(x|z) + β · KL(q(z|x) ‖ p(z)).

    β = 1 is the VAE (Kingma & Welling 2014, eq. 10, one sample of z); a constant β is the β-VAE
    (Higgins et al. 2017, eq. 4); a schedule is KL annealing (Bowman et al. 2016; Fu et al. 2019).
    The parts `distortion`, `rate` and `elbo = −distortion − rate` never contain β.

    Args:
        beta: weight of the KL term, a number or a schedule over batches.

    Raises:
        ValueError: if a number below 0 is given.
    """

    def __init__(self, *, beta: float | Schedule) -> None:
        if not callable(beta) and beta < 0:
            raise ValueError(f"beta must be at least 0, got {beta}")
        self.beta = as_schedule(beta)

    def __call__(self, outputs: VAEOutputs, x: Tensor, *, step: int) -> LossTerms:
        """The objective at `step`, all parts in nats per image."""
        del x
        distortion = -outputs.log_likelihood.mean()
        rate = standard_normal_kl(outputs.posterior).mean()
        beta = self.beta(step)
        return LossTerms(
            distortion + beta * rate,
            {
                "distortion": distortion,
                "rate": rate,
                "elbo": -distortion - rate,
                "beta": rate.new_tensor(beta),
            },
        )
