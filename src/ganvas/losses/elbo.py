"""The evidence lower bound and its weighted training objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganvas.schedules import as_schedule, lowest
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
        rate: KL(q(z|x) ‖ p(z)) in nats per image, `(B,)`, exact or estimated from `z`.
        draw_prior: draws codes `(B, Z)` from p(z), the same at each call for one batch.
    """

    posterior: GaussianPosterior
    z: Tensor
    log_likelihood: Tensor
    rate: Tensor
    draw_prior: Callable[[], Tensor]


class VAELoss(ABC):
    """Abstract: an objective of a model that gives `VAEOutputs`.

    Every objective reports `distortion`, `rate` and `elbo = −distortion − rate` in nats per image;
    no weight is ever in them.

    Attributes:
        standard_normal_prior: whether its mathematics holds for the prior N(0, I) alone; a model
            with another prior refuses it then.
    """

    standard_normal_prior: ClassVar[bool] = False

    def __call__(self, outputs: VAEOutputs, *, step: int) -> LossTerms:
        """The objective at `step`, with the three parts that all VAEs share."""
        distortion, rate = -outputs.log_likelihood.mean(), outputs.rate.mean()
        terms = self.objective(outputs, distortion=distortion, rate=rate, step=step)
        shared = {"distortion": distortion, "rate": rate, "elbo": -distortion - rate}
        return LossTerms(terms.total, {**shared, **terms.parts})

    @abstractmethod
    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """What is minimised, and the parts beyond the shared three.

        Args:
            outputs: of one batch.
            distortion: −E_q log p(x|z), mean over the batch.
            rate: KL(q(z|x) ‖ p(z)), mean over the batch.
            step: batches consumed so far, for schedules.
        """


class ElboLoss(VAELoss):
    """w · (−E_q log p(x|z)) + β · KL(q(z|x) ‖ p(z)).

    w = β = 1 is the VAE (Kingma & Welling 2014, eq. 10, one sample of z); a constant β is the β-VAE
    (Higgins et al. 2017, eq. 4); a schedule is KL annealing (Bowman et al. 2016; Fu et al. 2019).
    β = 0 trains on reconstructions only, w = 0 on the KL term only.

    Args:
        beta: weight of the KL term, a number or a schedule over batches.
        reconstruction_weight: weight w of the distortion.

    Raises:
        ValueError: if a number below 0 is given.
    """

    def __init__(self, *, beta: float | Schedule, reconstruction_weight: float) -> None:
        if (least := lowest(beta)) < 0:
            raise ValueError(f"beta must be at least 0, got {least}")
        if reconstruction_weight < 0:
            raise ValueError(
                f"reconstruction_weight must be at least 0, got {reconstruction_weight}"
            )
        self.beta = as_schedule(beta)
        self.reconstruction_weight = reconstruction_weight

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class; β is logged as `beta`."""
        del outputs
        beta = self.beta(step)
        return LossTerms(
            self.reconstruction_weight * distortion + beta * rate, {"beta": rate.new_tensor(beta)}
        )
