"""The frozen values that travel between data, models, losses and callbacks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

ImageShape = tuple[int, int, int]
"""(channels, height, width)."""

POINT_SHAPE: ImageShape = (2, 1, 1)
"""Of points of the plane, which travel as images."""

ValueRange = tuple[float, float]
"""The lowest and highest pixel value a model wants: (0, 1) or (-1, 1)."""

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the training device.

    Attributes:
        x: float images `(B, C, H, W)` in the value range that the model declared.
        y: integer labels `(B,)`, or None for unlabelled data.
        start: position of the first image of the *global* batch in its split's order.
        offset: position of this rank's first image within the global batch.
        total: size of the global batch over all ranks; 0 stands for `len(x)` (one rank).
    """

    x: Tensor
    y: Tensor | None = None
    start: int = 0
    offset: int = 0
    total: int = 0

    def __len__(self) -> int:
        return self.x.shape[0]


@dataclass(frozen=True, slots=True)
class Features:
    """What a network sees in images.

    Attributes:
        vectors: features `(B, D)`.
        logits: of classes `(B, K)`, or None where the network knows none.
    """

    vectors: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured value.

    Attributes:
        value: the number.
        uncertainty: its standard error, where the estimator has one.
        protocol: what, beside the subject's own, must be equal for two values to be compared.
    """

    value: float
    uncertainty: float | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GaussianPosterior:
    """q(z|x) = N(mu, diag exp(log_var)), as an encoder returns it.

    Attributes:
        mu: means `(B, Z)`.
        log_var: log variances `(B, Z)`.
    """

    mu: Tensor
    log_var: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Z = mu + exp(log_var / 2) · noise (Kingma & Welling 2014, eq. 4), `(B, Z)`."""
        return self.mu + (0.5 * self.log_var).exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) in nats, `(B,)` for codes `(B, Z)`; leading axes broadcast."""
        squared = (z - self.mu).square() * (-self.log_var).exp()
        return -0.5 * (squared + self.log_var + math.log(2 * math.pi)).sum(-1)


@dataclass(frozen=True, slots=True)
class LossTerms:
    """What a loss returns: the objective to minimise and the parts to log.

    Attributes:
        total: scalar objective.
        parts: scalars by name, logged as `train/<name>`, `val/<name>`, `test/<name>`.
    """

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def plus(self, name: str, value: Tensor, *, weight: float = 1.0) -> LossTerms:
        """The objective with `weight · value` added; the bare `value` becomes the part `name`."""
        return LossTerms(self.total + weight * value, {**self.parts, name: value})
