"""How probable a latent variable model makes the images: bounds on log p(x)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.evaluation.measure import Measure
from ganvas.losses.divergences import standard_normal_kl
from ganvas.metrics.likelihood import LEVELS, ImportanceSums, bits_per_dim, dequantized
from ganvas.metrics.reconstruction import mean_and_error
from ganvas.protocols import Conditional, HasLikelihood, labels_for
from ganvas.types import Batch, Finding, GaussianPosterior

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject

CODES = 50
"""Codes of an image whose noise is drawn together: part of the protocol."""

DEQUANTIZING_USE, CODES_USE = 999, 1000
"""Numbers of the noise, and of the first codes', that no model uses for something else."""

VALUES_AT_ONCE = 2**21
"""Pixels that are decoded at once on a CPU, 8 MB: more leave its cache. Of no effect on values."""


class LikelihoodMeasure(Measure):
    """Means over images of bounds on log p(x), with standard errors, in nats per image.

    K codes of each image are drawn from q(z|x), with p(z) the model's own prior; of a conditional
    model all is given the label.

    - `log_likelihood_bound`: log 1/K Σ_k p(x, z_k) / q(z_k|x) (Burda et al. 2016). In expectation
      a lower bound on log p(x), the tighter the larger K: compare at equal K only;
    - `mean_distortion`, `mean_rate`, `mean_elbo`: as the losses `distortion`, `rate` and `elbo`,
      with K codes in the place of one;
    - `effective_samples`: codes that the bound rests on, 1 to K. Near 1 it is loose;
    - `bits_per_dim`: of the images' 256 levels, or of black and white ones, from that bound: an
      upper bound in expectation. For a density the images are dequantised with uniform noise
      (Theis et al. 2016, arXiv:1511.01844), and the bound found anew on them. Left out where
      p(x|z) is no distribution over the data: `bernoulli` on grey pixels (set
      `dataset.binarization`), and data that are floats.

    Args:
        num_samples: codes K per image.
        num_images: the first so many images of the split; None for all.

    Raises:
        ValueError: if either is under 1.
    """

    directions: ClassVar[Mapping[str, bool]] = {
        "log_likelihood_bound": True,
        "mean_distortion": False,
        "mean_elbo": True,
        "bits_per_dim": False,
    }

    def __init__(self, *, num_samples: int, num_images: int | None) -> None:
        for name, value in {"num_samples": num_samples, "num_images": num_images}.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_samples, self.num_images = num_samples, num_images

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where p(x|z), p(z) or q(z|x) is not there."""
        del data
        if issubclass(model, HasLikelihood):
            return None
        return "has no p(x|z), p(z) and q(z|x) to bound a likelihood with"

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        model, data, split = subject.model, subject.data, subject.split
        assert isinstance(model, HasLikelihood)
        num = min(self.num_images or data.counts[split], data.counts[split])
        weigh = Importance(model, self.num_samples)
        kind = model.likelihood_kind()
        levels = levels_of(kind, data)
        found = subject.collect(
            lambda batch: _values(weigh, batch, kind=kind, levels=levels), subject.batches(num=num)
        )
        protocol = {
            "images": data.content(split, num=num),
            "num_images": num,
            "codes": self.num_samples,
            "codes_drawn_together": CODES,
            "given": "class" if isinstance(model, Conditional) else "nothing",
        }
        unit = {"log_prob": log_prob_of(model, data)}
        units = dict.fromkeys(found, unit) | {"bits_per_dim": {"levels": levels}}
        return {
            name: Finding(*mean_and_error(values), {**protocol, **units[name]})
            for name, values in found.items()
        }


def levels_of(kind: str, data: ImageData) -> int | None:
    """Values of a pixel among which p(x|z) gives a bound on probabilities; None if it does not."""
    if kind == "binary":
        return 2 if data.binarization else None
    return LEVELS if data.is_quantized else None


def log_prob_of(model: HasLikelihood, data: ImageData) -> str:
    """What log p(x|z) is the logarithm of: values of another kind don't compare."""
    kind = model.likelihood_kind()
    discrete = "probability" if levels_of(kind, data) else "neither"
    return "density" if kind == "density" else discrete


class Importance:
    """Draws codes of images from q(z|x) and weighs them; a few are decoded at once.

    Args:
        model: in evaluation mode.
        num: codes K per image.
    """

    def __init__(self, model: Any, num: int) -> None:
        self.model, self.num = model, num
        with torch.no_grad():
            self.log_prior = model.prior_density()

    def __call__(self, batch: Batch) -> tuple[GaussianPosterior, ImportanceSums]:
        """q(z|x) `(B, Z)` of a batch, and the sums over K codes of each of its images."""
        posterior = self.model.posterior(batch.x, **labels_for(self.model, batch.y))
        return posterior, reduce(add, self._parts(batch, posterior))

    def _parts(self, batch: Batch, posterior: GaussianPosterior) -> Iterator[ImportanceSums]:
        """Of `CODES` codes after another; their noise is the same whatever K is."""
        mu, log_var = posterior.mu[:, None], posterior.log_var[:, None]
        q = GaussianPosterior(mu.double(), log_var.double())
        size = (CODES, mu.shape[2])
        for use, start in enumerate(range(0, self.num, CODES), CODES_USE):
            z = q.sample(self.model.noise(batch, *size, use=use)[:, : self.num - start])
            log_prior = self.log_prior(z.flatten(0, 1)).view(z.shape[:2])
            log_likelihood = self._log_likelihood(batch, z.to(mu.dtype))
            yield ImportanceSums.of(log_likelihood, q.log_prob(z) - log_prior)

    def _log_likelihood(self, batch: Batch, z: Tensor) -> Tensor:
        """log p(x|z_k) `(B, K)` for codes `(B, K, Z)`."""
        given = labels_for(self.model, batch.y)
        limit = VALUES_AT_ONCE * (1 if z.device.type == "cpu" else 16)
        size = max(1, limit // batch.x[0].numel())
        images = torch.arange(len(z), device=z.device).repeat_interleave(z.shape[1])
        parts = [
            self.model.log_likelihood(batch.x[i], codes, **{k: y[i] for k, y in given.items()})
            for i, codes in zip(images.split(size), z.flatten(0, 1).split(size), strict=True)
        ]
        return torch.cat(parts).view(z.shape[:2])


def _values(weigh: Importance, batch: Batch, *, kind: str, levels: int | None) -> dict[str, Tensor]:
    """What is measured, of each image `(B,)`."""
    posterior, sums = weigh(batch)
    exact = weigh.model.standard_normal_prior  # then the rate has no noise
    rate = standard_normal_kl(posterior).double() if exact else sums.rate
    values = {
        "log_likelihood_bound": sums.bound,
        "mean_elbo": -sums.distortion - rate,
        "mean_distortion": sums.distortion,
        "mean_rate": rate,
        "effective_samples": sums.effective,
    }
    if levels is None:
        return values
    is_density, bound = kind == "density", sums.bound
    if is_density:
        noise = weigh.model.noise(batch, *batch.x.shape[1:], use=DEQUANTIZING_USE)
        uniform = torch.special.ndtr(noise).to(batch.x)
        bound = weigh(replace(batch, x=dequantized(batch.x, uniform)))[1].bound
    bits = bits_per_dim(bound, num_values=batch.x[0].numel(), is_density=is_density)
    return {**values, "bits_per_dim": bits}
