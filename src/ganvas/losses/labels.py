"""What the critic is told about real and fake: smoothed, noisy and flipped labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ganvas.losses.adversarial import LabelLoss

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.losses.adversarial import AdversarialLoss


@dataclass(frozen=True)
class Labels:
    """Labels t in [0, 1], 1 for real: the critic pays t · real(D) + (1 − t) · fake(D).

    With the cross-entropy losses this is cross-entropy with a soft label; with least squares it
    has the gradient of ½ (D − (t·b + (1 − t)·a))². Flips exchange 1 for 0, after smoothing and
    noise.

    Attributes:
        smoothing: one-sided: real images have 1 − smoothing (Salimans et al. 2016,
            arXiv:1606.03498, sec. 3.4).
        noise: each label moves towards the other by a uniform draw from [0, noise).
        flips: share of the images, real and fake, whose label is exchanged.

    Raises:
        ValueError: if one is outside [0, 1), or smoothing and noise together are above 1.
    """

    smoothing: float = 0.0
    noise: float = 0.0
    flips: float = 0.0

    def __post_init__(self) -> None:
        for name in ("smoothing", "noise", "flips"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ValueError(f"label_{name} must be in [0, 1), got {value}")
        if self.smoothing + self.noise > 1:
            raise ValueError(
                "label_smoothing + label_noise must be at most 1, so that labels stay in [0, 1], "
                f"got {self.smoothing} + {self.noise}"
            )

    @property
    def hard(self) -> bool:
        """Whether every label is 1 for real and 0 for fake."""
        return not (self.smoothing or self.noise or self.flips)

    def check(self, loss: AdversarialLoss) -> None:
        """Refuse what the loss has no labels for.

        Raises:
            ValueError: if labels are soft and the loss knows pairs of images only.
        """
        if not self.hard and not isinstance(loss, LabelLoss):
            raise ValueError(
                "label_smoothing, label_noise and label_flips must be 0 with "
                f"{type(loss).__name__}, which compares pairs and has no labels, got {self}"
            )

    def targets(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Labels of real and of fake images, `(B,)` each, from uniform draws `(B, 4)`."""
        real = 1 - self.smoothing - self.noise * draws[:, 0]
        fake = self.noise * draws[:, 1]
        flip_real, flip_fake = draws[:, 2] < self.flips, draws[:, 3] < self.flips
        return torch.where(flip_real, 1 - real, real), torch.where(flip_fake, 1 - fake, fake)

    def critic_loss(
        self, loss: AdversarialLoss, real_logits: Tensor, fake_logits: Tensor, draws: Tensor
    ) -> Tensor:
        """The critic's loss `(B,)` for logits `(B,)` and uniform draws `(B, 4)`."""
        assert isinstance(loss, LabelLoss), "see check"
        total = torch.zeros_like(real_logits)
        targets = self.targets(draws)
        for logits, target in zip((real_logits, fake_logits), targets, strict=True):
            total = total + target * loss.real(logits) + (1 - target) * loss.fake(logits)
        return total
