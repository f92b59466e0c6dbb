"""What the codes of a model with a posterior know of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganvas.errors import UnfitError
from ganvas.evaluation.measure import Measure
from ganvas.losses.divergences import standard_normal_kl_per_dim
from ganvas.metrics.information import active_units, information_parts
from ganvas.metrics.reconstruction import mean_and_error
from ganvas.protocols import HasLikelihood, HasPosterior, labels_for
from ganvas.types import Batch, Finding, GaussianPosterior

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject

LEAST = 2
"""Images over which something can vary."""

MOST_DIMENSIONS = 64
"""Of which each has a value of its own in the record."""


class InformationMeasure(Measure):
    """Active units, KL per dimension, and the mutual information and its fellows in the rate.

    Of all images of the split:

    - `active_units`: dimensions whose posterior mean varies (`active_units`);
    - `kl_00`, `kl_01`, …: KL(q(z_d|x) ‖ N(0, 1)) of each dimension in nats per image, where there
      are at most 64; they sum to the rate.

    Of the first `num_images`, by `information_parts`, in nats per image:

    - `aggregate_mutual_information`: I_q(x; z), and `aggregate_mutual_information_cap`, log of the
      number of images, which the estimate never exceeds;
    - `aggregate_total_correlation`: KL(q(z) ‖ Π_d q(z_d));
    - `aggregate_dimension_wise_kl`: Σ_d KL(q(z_d) ‖ p(z_d));
    - `aggregate_kl`: KL(q(z) ‖ p(z)), the sum of the two before it; with a prior that the model
      has learnt, of that prior.

    Losses report some of these without the prefix, estimated within each batch: other values.

    What compares single dimensions with N(0, 1) is left out where the prior is not N(0, I). Of a
    conditional model the posterior is q(z|x, y): its information is that on image and label.

    Args:
        num_images: the first so many images of the split make the aggregate posterior; None for
            all. Time grows with its square.
        active_threshold: variance beyond which a dimension is active.

    Raises:
        ValueError: if there are fewer than two images, or the threshold is below 0.
    """

    def __init__(self, *, num_images: int | None, active_threshold: float) -> None:
        if num_images is not None and num_images < LEAST:
            raise ValueError(f"num_images must be at least 2, got {num_images}; log 1 is 0")
        if active_threshold < 0:
            raise ValueError(f"active_threshold is a variance, at least 0, got {active_threshold}")
        self.num_images, self.active_threshold = num_images, active_threshold

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where an image has no distribution of codes."""
        del data
        return None if issubclass(model, HasPosterior) else "has no posterior q(z|x)"

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class.

        Raises:
            UnfitError: for a split of one image, which no unit can vary over.
        """
        model, data, split = subject.model, subject.data, subject.split
        if data.counts[split] < LEAST:
            raise UnfitError(
                f"split={split} must have at least {LEAST} images, got {data.counts[split]}; "
                "choose another split"
            )
        found = subject.collect(lambda batch: _encoded(model, batch), subject.batches())
        found = {name: values.double() for name, values in found.items()}
        units = active_units(found["mu"], threshold=self.active_threshold)
        values = {"active_units": Finding(units, None, {"active_threshold": self.active_threshold})}
        if model.standard_normal_prior:
            values |= _per_dimension(GaussianPosterior(found["mu"], found["log_var"]))

        num = min(self.num_images or data.counts[split], data.counts[split])
        protocol = {
            "images": data.content(split, num=num),
            "num_images": num,
            "estimator": "aggregate posterior of these images, one code each",
        }
        for name, part in _parts(model, **{k: v[:num] for k, v in found.items()}).items():
            values[name] = Finding(*mean_and_error(part), protocol)
        cap = Finding(math.log(num), None, protocol)
        return values | {"aggregate_mutual_information_cap": cap}


@torch.no_grad()
def _parts(model: Any, *, mu: Tensor, log_var: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Of each image, `(N,)` by name, from `(N, Z)` each."""
    posterior, device = GaussianPosterior(mu, log_var), model.device
    z = posterior.sample(noise)
    parts = information_parts(z, posterior)
    found = {
        "aggregate_mutual_information": parts.mutual_information,
        "aggregate_total_correlation": parts.total_correlation,
    }
    if model.standard_normal_prior:
        found["aggregate_dimension_wise_kl"] = parts.dimension_wise_kl
        found["aggregate_kl"] = parts.total_correlation + parts.dimension_wise_kl
    elif isinstance(model, HasLikelihood):
        log_prior = model.prior_density()(z.to(device)).cpu()
        found["aggregate_kl"] = posterior.log_prob(z) - log_prior - parts.mutual_information
    return found


def _per_dimension(posterior: GaussianPosterior) -> dict[str, Finding]:
    if posterior.mu.shape[1] > MOST_DIMENSIONS:
        return {}
    per_dim = standard_normal_kl_per_dim(posterior)
    return {
        f"kl_{d:02d}": Finding(*mean_and_error(values))
        for d, values in enumerate(per_dim.unbind(1))
    }


def _encoded(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Posterior and noise; codes are made of them in float64, as narrow posteriors need."""
    q = model.posterior(batch.x, **labels_for(model, batch.y))
    return {"mu": q.mu, "log_var": q.log_var, "noise": model.noise(batch, q.mu.shape[1])}
