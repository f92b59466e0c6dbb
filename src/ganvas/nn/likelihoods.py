"""p(x|z): what a decoder's outputs mean, in nats.

Every class maps decoder outputs and images in [0, 1] to per-image log densities `(B,)`, summed
over all pixels and channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ganvas.nn.gather import gathered


class Likelihood(nn.Module, ABC):
    """Abstract: decoder outputs `(B, C, H, W)` to a distribution over images in [0, 1].

    Attributes:
        kind: what `exp(log_prob)` is: a "density" over real pixels, a probability of the 256
            "levels" k/255, or a probability of "binary" pixels, which on grey ones is neither.
    """

    kind: ClassVar[Literal["density", "levels", "binary"]] = "density"

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x|z) in nats per image, `(B,)`, for images and decoder outputs `(B, C, H, W)`."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """E[x|z], `(B, C, H, W)` in [0, 1]."""

    def parts(self) -> Mapping[str, Tensor]:
        """Scalars to log beside the loss, such as a learned scale."""
        return {}


class BernoulliLikelihood(Likelihood):
    """log p = Σ x·log p + (1 − x)·log(1 − p) with p = sigmoid(outputs).

    Kingma & Welling 2014, appendix C.1. Exact for binary pixels. On grey pixels this is the usual
    binary cross-entropy, which is *not* a normalised density: compare it with itself only.
    """

    kind = "binary"

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return -F.binary_cross_entropy_with_logits(outputs, x, reduction="none").flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """The pixel probabilities."""
        return outputs.sigmoid()


class ContinuousBernoulliLikelihood(Likelihood):
    """log p = Σ η·x − log((eᵑ − 1) / η), a density on [0, 1].

    Loaiza-Ganem & Cunningham 2019 (arXiv:1907.06845), eq. 7, in η = logit λ: the usual binary
    cross-entropy with the constant that normalises it on grey pixels. Densities may be over 1, so
    values are compared with those of other densities only.

    Without a limit the density of a pixel that is always black grows for ever. The authors' code
    clips λ to [1e-4, 1 − 1e-4]. Deviation: η = m·tanh(outputs / m), whose limits ±m are the same,
    but a pixel beyond them keeps a gradient.

    (`torch.distributions.ContinuousBernoulli` has values of float32 that are wrong from |η| = 16 on
    and rough near η = 0; here the series about 0 and the rest are in η itself.)

    Args:
        margin: λ stays in [margin, 1 − margin].

    Raises:
        ValueError: if margin is not between 0 and ½.
    """

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        if not 0 < margin < 0.5:  # noqa: PLR2004
            raise ValueError(f"margin must be between 0 and 0.5, got {margin}")
        self.limit = math.log((1 - margin) / margin)

    def logits(self, outputs: Tensor) -> Tensor:
        """η, within the limits."""
        return self.limit * torch.tanh(outputs / self.limit)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        eta = self.logits(outputs.to(x.dtype))
        return (eta * x - _log_normaliser(eta)).flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """E[x] = 1 / (1 − e⁻ᵑ) − 1 / η, which is not λ: at λ = 1e-4 it is 0.11, dark grey."""
        exact = torch.promote_types(outputs.dtype, torch.float32)  # near-equal numbers cancel below
        is_near, near, far = _split_at_zero(self.logits(outputs.to(exact)))
        square = near.square()
        series = 0.5 + near / 12 * (1 - square / 60 * (1 - square / 42))
        size = far.abs()
        below = 1 / size + torch.exp(-size) / torch.expm1(-size)  # 1 − E[x] at |η|
        return torch.where(is_near, series, torch.where(far > 0, 1 - below, below))


def _split_at_zero(eta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether |η| < ½, then η with the others set to 0, then η with these set to 1."""
    is_near = eta.abs() < 0.5  # noqa: PLR2004
    return is_near, eta.masked_fill(~is_near, 0.0), eta.masked_fill(is_near, 1.0)


def _log_normaliser(eta: Tensor) -> Tensor:
    """log((eᵑ − 1) / η), with a gradient that is as exact near η = 0 as elsewhere."""
    is_near, near, far = _split_at_zero(eta)
    square = near.square()
    series = near / 2 + square / 24 * (1 - square / 120 * (1 - square / 63))
    size = far.abs()
    closed = F.relu(far) + torch.log(-torch.expm1(-size) / size)
    return torch.where(is_near, series, closed)


class GaussianLikelihood(Likelihood):
    """log p = −Σ [(x − μ)² / (2σ²) + log σ + ½ log 2π] with μ = sigmoid(outputs).

    One σ for all pixels. The sigmoid keeps means in [0, 1], where the pixels are.

    Args:
        sigma: standard deviation in pixel units (1 = full range); the first value if learned.
        learn_sigma: train log σ along with the networks (σ-VAE, Rybkin et al. 2021, sec. 3.1).

    Raises:
        ValueError: if sigma is not positive.
    """

    def __init__(self, *, sigma: float, learn_sigma: bool) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma must be positive, got {sigma}")
        self.learn_sigma = learn_sigma
        log_sigma = torch.tensor(math.log(sigma))
        if learn_sigma:
            self.log_sigma: Tensor = nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        squared = (x - outputs.to(x.dtype).sigmoid()).square().flatten(1)
        constant = self.log_sigma + 0.5 * math.log(2 * math.pi)
        return -0.5 * squared.sum(1) * (-2 * self.log_sigma).exp() - squared.shape[1] * constant

    def mean(self, outputs: Tensor) -> Tensor:
        """The pixel means."""
        return outputs.sigmoid()

    def parts(self) -> Mapping[str, Tensor]:
        """`sigma` where it is learned."""
        return {"sigma": self.log_sigma.exp()} if self.learn_sigma else {}


class OptimalSigmaLikelihood(Likelihood):
    """Gaussian with σ² = mean squared error of the batch: log p = −D/2 · [e/σ² + log 2πσ²].

    e is an image's own mean squared error over its D pixels, with means sigmoid(outputs). That σ
    maximises the likelihood of the batch (σ-VAE, Rybkin et al. 2021, arXiv:2006.13202, sec. 3.2),
    so its derivative is zero there and no gradient is passed through it: the gradient of the mean
    is that of D/2 · log σ².

    σ is one number for all images and pixels of a training batch (of all ranks, and of all codes
    where each image has several); hence the values of one image depend on the others. With
    accumulated gradients each part of the batch has its own. In evaluation σ is a running average
    over training batches and nothing is updated, so values do not depend on how a split is cut.

    Deviation: the running average, with which values are comparable; the paper evaluates with the
    σ of the batch at hand.

    Args:
        min_sigma: lower limit of σ in pixel units, without which a perfect reconstruction would
            have an infinite density.
        decay: of the running average of σ² over batches.

    Raises:
        ValueError: if min_sigma is not positive, or decay is outside [0, 1).
    """

    running_variance: Tensor
    num_batches: Tensor

    def __init__(self, *, min_sigma: float, decay: float) -> None:
        super().__init__()
        if min_sigma <= 0:
            raise ValueError(f"min_sigma must be positive, got {min_sigma}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.min_variance = min_sigma**2
        self.decay = decay
        self.register_buffer("running_variance", torch.tensor(1.0))
        self.register_buffer("num_batches", torch.tensor(0.0))

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        squared = (x - outputs.to(x.dtype).sigmoid()).square().flatten(1)
        variance = self.running_variance.to(x.dtype)
        if self.training:
            variance = self._batch_variance(squared.detach())
        log_density = squared.mean(1) / variance + (2 * math.pi * variance).log()
        return -0.5 * squared.shape[1] * log_density

    def mean(self, outputs: Tensor) -> Tensor:
        """The pixel means."""
        return outputs.sigmoid()

    def parts(self) -> Mapping[str, Tensor]:
        """The running `sigma`."""
        return {"sigma": self.running_variance.sqrt()}

    def _batch_variance(self, squared: Tensor) -> Tensor:
        """σ² of this batch over all ranks; the running average takes it up."""
        variance = gathered(squared.mean().view(1)).mean().clamp(min=self.min_variance)
        weight = (1 / (self.num_batches + 1)).clamp(min=1 - self.decay)  # 1 for the first batch
        self.running_variance += weight * (variance - self.running_variance)
        self.num_batches += 1
        return variance


class DiscretizedLogisticLikelihood(Likelihood):
    """log P(x) = Σ log[F((x + b − μ) / s) − F((x − b − μ) / s)], b = 1/510, F = sigmoid.

    A probability for each of the 256 values k/255 of a pixel, with all mass below 0 and above 1
    given to the first and the last (Salimans et al. 2017, arXiv:1701.05517, eq. 2). Divided by
    D · log 2 it is in bits per pixel. The outputs are the centres μ where black is −1 and white 1;
    they may lie outside, so that all mass is on black or white.

    Deviation: one logistic, no mixture, and one learned s for all pixels (as in Kingma et al.
    2016, arXiv:1606.04934).

    Args:
        scale: first value of s in pixel units (1 = full range); log s is trained.

    Raises:
        ValueError: if scale is not positive.
    """

    kind = "levels"
    HALF_BIN = 0.5 / 255

    def __init__(self, *, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be positive, got {scale}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats, for pixels that are multiples of 1/255."""
        centred = x - self._centres(outputs.to(x.dtype))
        precision = (-self.log_scale).exp()
        # F(u) − F(l) = F(u) · F(−l) · (1 − exp(l − u)): no difference of near-equal numbers
        to_upper = F.logsigmoid((centred + self.HALF_BIN) * precision)
        to_lower = F.logsigmoid((self.HALF_BIN - centred) * precision)
        width = torch.log(-torch.expm1(-2 * self.HALF_BIN * precision))
        inner = to_upper + to_lower + width
        first, last = x < self.HALF_BIN, x > 1 - self.HALF_BIN
        values = torch.where(first, to_upper, torch.where(last, to_lower, inner))
        return values.flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """The centres, cut to [0, 1]: the mean up to the tails that black and white take."""
        return self._centres(outputs).clamp(0, 1)

    def _centres(self, outputs: Tensor) -> Tensor:
        return 0.5 + 0.5 * outputs

    def parts(self) -> Mapping[str, Tensor]:
        """The learned `scale`."""
        return {"scale": self.log_scale.exp()}
