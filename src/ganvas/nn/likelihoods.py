"""p(x|z): what a decoder's outputs mean, in nats.

Every class maps decoder outputs and images in [0, 1] to per-image log densities `(B,)`, summed
over all pixels and channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Likelihood(nn.Module, ABC):
    """Abstract: decoder outputs `(B, C, H, W)` to a distribution over images in [0, 1]."""

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

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return -F.binary_cross_entropy_with_logits(outputs, x, reduction="none").flatten(1).sum(1)

    def mean(self, outputs: Tensor) -> Tensor:
        """The pixel probabilities."""
        return outputs.sigmoid()


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
        squared = (x - outputs.sigmoid()).square().flatten(1)
        constant = self.log_sigma + 0.5 * math.log(2 * math.pi)
        return -0.5 * squared.sum(1) * (-2 * self.log_sigma).exp() - squared.shape[1] * constant

    def mean(self, outputs: Tensor) -> Tensor:
        """The pixel means."""
        return outputs.sigmoid()

    def parts(self) -> Mapping[str, Tensor]:
        """`sigma` where it is learned."""
        return {"sigma": self.log_sigma.exp()} if self.learn_sigma else {}
