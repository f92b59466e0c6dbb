"""Distances between images and reconstructions, summed over pixels, one value per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ganvas.types import LossTerms


@dataclass(frozen=True)
class AutoencoderOutputs:
    """What an autoencoder hands to its loss.

    Attributes:
        code: `(B, Z)`.
        logits: decoder outputs before the sigmoid, `(B, C, H, W)`.
    """

    code: Tensor
    logits: Tensor

    @property
    def reconstruction(self) -> Tensor:
        """Images in [0, 1], `(B, C, H, W)`."""
        return self.logits.sigmoid()


class ReconstructionLoss(ABC):
    """Abstract: mean over the batch of a per-image distance, summed over pixels."""

    name: str

    @abstractmethod
    def per_sample(self, outputs: AutoencoderOutputs, x: Tensor) -> Tensor:
        """Distance of each image from its reconstruction, `(B,)`."""

    def __call__(self, outputs: AutoencoderOutputs, x: Tensor, *, step: int) -> LossTerms:
        """The objective for images `x` `(B, C, H, W)`; `step` does not matter."""
        del step
        total = self.per_sample(outputs, x).mean()
        return LossTerms(total, {self.name: total})


class SquaredError(ReconstructionLoss):
    """Σ (x − x̂)² over pixels: the Gaussian negative log-likelihood up to scale and constant."""

    name = "mse"

    def per_sample(self, outputs: AutoencoderOutputs, x: Tensor) -> Tensor:
        """See the class; `(B,)`."""
        return (outputs.reconstruction - x).square().flatten(1).sum(1)


class AbsoluteError(ReconstructionLoss):
    """Σ |x − x̂| over pixels: the Laplace negative log-likelihood up to scale and constant."""

    name = "l1"

    def per_sample(self, outputs: AutoencoderOutputs, x: Tensor) -> Tensor:
        """See the class; `(B,)`."""
        return (outputs.reconstruction - x).abs().flatten(1).sum(1)


class BinaryCrossEntropy(ReconstructionLoss):
    """−Σ x·log x̂ + (1 − x)·log(1 − x̂) over pixels, from logits; no likelihood on grey pixels."""

    name = "bce"

    def per_sample(self, outputs: AutoencoderOutputs, x: Tensor) -> Tensor:
        """See the class; `(B,)` nats where pixels are binary."""
        return (
            F.binary_cross_entropy_with_logits(outputs.logits, x, reduction="none")
            .flatten(1)
            .sum(1)
        )
