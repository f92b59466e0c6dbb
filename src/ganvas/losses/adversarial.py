"""Adversarial losses: pure functions of the critic's logits, one value per sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor


class AdversarialLoss(ABC):
    """Abstract: what critic and generator minimise, given logits `(B,)` of real and fake images."""

    @abstractmethod
    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The critic's loss for each pair of a real and a fake image, `(B,)`."""

    @abstractmethod
    def generator(self, fake_logits: Tensor) -> Tensor:
        """The generator's loss for each fake image, `(B,)`."""


class MinimaxLoss(AdversarialLoss):
    """The original game (Goodfellow et al. 2014, eq. 1), with D = sigmoid(logits).

    Critic: −½ log D(x) − ½ log(1 − D(G(z))). Generator: its negative, of which only
    ½ log(1 − D(G(z))) depends on G. It saturates while the critic wins: kept for comparison.
    """

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return 0.5 * (softplus(-real_logits) + softplus(fake_logits))

    def generator(self, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return -0.5 * softplus(fake_logits)


class NonSaturatingLoss(AdversarialLoss):
    """The generator maximises log D(G(z)) instead (Goodfellow et al. 2014, sec. 3).

    Critic: −log D(x) − log(1 − D(G(z))). Generator: −log D(G(z)). No factors of ½, as is usual.
    """

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return softplus(-real_logits) + softplus(fake_logits)

    def generator(self, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return softplus(-fake_logits)
