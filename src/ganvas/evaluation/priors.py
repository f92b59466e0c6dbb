"""Where the codes of samples come from: the model's own prior, N(0, I), or one fitted to codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

from torch import Tensor, nn

from ganvas.evaluation.mixture import Covariance, Mixture, fit_gaussian, fit_mixture
from ganvas.evaluation.subject import Options, Subject
from ganvas.nn.noise import keyed_normal
from ganvas.protocols import Decodes, Encodes, HasPosterior, Samples, labels_for

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.models.base import GenerativeModule
    from ganvas.types import Batch

POSTERIOR_STREAM = 4
"""Of the key of the noise in codes that a prior is fitted to."""

MAX_ENTRIES = 2**22
"""Of all covariances of a prior: ten of 640 × 640."""


CODES_ALONE = "makes no image of a code alone, so that no prior gives samples"


class CodeSource(Protocol):
    """What draws codes."""

    def codes(self, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)`, a function of `seed` alone on one kind of device."""


class Prior(ABC):
    """Abstract: a choice of the `prior` group."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What files and results call it."""

    @abstractmethod
    def unfit(self, model: type[nn.Module]) -> str | None:
        """Why models of this class can't be sampled so (text after "model=ae "); or None."""


class GivenPrior(Prior):
    """Abstract: a prior that needs no codes."""

    @abstractmethod
    def codes(self, model: Any, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)` for a model that fits."""


class OwnPrior(GivenPrior):
    """The model's own."""

    name = "model"

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Where a model has none."""
        return None if issubclass(model, Samples) else "draws no samples"

    def codes(self, model: Any, num: int, *, seed: int) -> Tensor:
        """As the model draws them."""
        drawn: Tensor = model.prior_codes(num, seed=seed)
        return drawn


@runtime_checkable
class _HasWidth(Protocol):
    latent_dim: int


class NormalPrior(GivenPrior):
    """N(0, I), whatever the codes are like: the very codes of models whose own prior it is."""

    name = "normal"

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Where no code is decoded."""
        return None if issubclass(model, Decodes) else CODES_ALONE

    def codes(self, model: Any, num: int, *, seed: int) -> Tensor:
        """Codes `(num, latent_dim)`.

        Raises:
            ValueError: if the model has no `latent_dim`.
        """
        if not isinstance(model, _HasWidth):
            raise ValueError(f"{type(model).__name__} must have latent_dim, the width of its codes")
        drawn: Tensor = model.prior_noise(num, model.latent_dim, seed=seed)  # type: ignore[attr-defined]
        return drawn


def unfittable(model: type[nn.Module]) -> str | None:
    """Why no prior can be fitted to the codes of models of this class; or None."""
    if not issubclass(model, Encodes):
        return "has no encoder, so that there are no codes to fit a prior to"
    return None if issubclass(model, Decodes) else CODES_ALONE


class FittedPrior(Prior):
    """Abstract: a density fitted to the codes of the training images.

    Ghosh et al. 2020, arXiv:1903.12436, sec. 4 ("ex-post density estimation"). See `encodings`.

    Args:
        seed: of the fit and of sampled codes that it is made to; not of the samples.
    """

    def __init__(self, *, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.seed = seed

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Where there are no codes, or they are not decoded."""
        return unfittable(model)

    @abstractmethod
    def fit(self, codes: Tensor) -> Mixture:
        """The density of codes `(N, Z)`.

        Raises:
            ValueError: if none can be fitted to these.
        """


class GaussianPrior(FittedPrior):
    """The Gaussian with the codes' mean and covariance.

    Args:
        covariance: "full", or "diag" for very wide codes.
        seed: see `FittedPrior`.

    Raises:
        ValueError: for a value out of range.
    """

    kind = "gaussian"

    def __init__(self, *, covariance: Covariance, seed: int) -> None:
        super().__init__(seed=seed)
        if covariance not in get_args(Covariance):
            raise ValueError(f"covariance must be full or diag, got {covariance}")
        self.covariance: Covariance = covariance

    @property
    def name(self) -> str:
        """Kind, and what is not as usual."""
        unusual = "-diag" if self.covariance == "diag" else ""
        return f"{self.kind}{unusual}" + (f"-seed{self.seed}" if self.seed else "")

    def fit(self, codes: Tensor) -> Mixture:
        """In closed form."""
        self.check_width(codes.shape[1])
        return fit_gaussian(codes, covariance=self.covariance)

    def check_width(self, width: int, *, components: int = 1) -> None:
        """Covariances are of a size that can be fitted.

        Raises:
            ValueError: if they are too large.
        """
        if self.covariance == "full" and components * width**2 > MAX_ENTRIES:
            raise ValueError(
                f"codes of {width} values have covariances of {width} × {width}, more than the "
                f"{MAX_ENTRIES:,} entries allowed for {components}; set prior.covariance=diag"
            )


class MixturePrior(GaussianPrior):
    """A mixture of Gaussians.

    Args:
        components: their number.
        covariance: see `GaussianPrior`.
        seed: see `FittedPrior`.

    Raises:
        ValueError: for a value out of range.
    """

    def __init__(self, *, components: int, covariance: Covariance, seed: int) -> None:
        super().__init__(covariance=covariance, seed=seed)
        if components < 1:
            raise ValueError(f"components must be at least 1, got {components}")
        self.components = components
        self.kind = f"gmm-{components}"

    def fit(self, codes: Tensor) -> Mixture:
        """By expectation and maximisation."""
        self.check_width(codes.shape[1], components=self.components)
        return fit_mixture(
            codes, components=self.components, covariance=self.covariance, seed=self.seed
        )


@dataclass(frozen=True)
class Given:
    """A prior that needs no codes, with the model whose codes it draws."""

    prior: GivenPrior
    model: GenerativeModule

    def codes(self, num: int, *, seed: int) -> Tensor:
        """See `CodeSource`."""
        return self.prior.codes(self.model, num, seed=seed)


def encodings(model: GenerativeModule, data: ImageData, *, seed: int) -> Tensor:
    """Codes `(N, Z)` of all training images as they are, on the CPU.

    Of a model with q(z|x), one sample of it for each image, so that they are distributed as the
    codes that the decoder was trained on: where q(z|x) is wide, posterior means lie too close
    together. Of a conditional model all classes together. Images are neither augmented nor left
    out.

    Args:
        model: in evaluation mode.
        data: prepared.
        seed: of the samples.
    """

    def codes(batch: Batch) -> dict[str, Tensor]:
        labels = labels_for(model, batch.y)
        if not isinstance(model, HasPosterior):
            assert isinstance(model, Encodes)
            return {"codes": model.encode(batch.x, **labels)}
        posterior = model.posterior(batch.x, **labels)
        key = (seed, POSTERIOR_STREAM, batch.start)
        noise = keyed_normal(tuple(posterior.mu.shape), *key, device=batch.x.device)
        return {"codes": posterior.sample(noise)}

    subject = Subject(model, data, split="train", options=Options())
    return subject.collect(codes, subject.batches())["codes"]
