"""What a GAN's critic gets to see and is told, in training."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.labels import Labels
from ganvas.models.adversarial import AdversarialModule
from ganvas.nn.diff_augment import WIDTH, checked_policy, diff_augment
from ganvas.nn.history import ImageHistory
from ganvas.protocols import Schedule
from ganvas.schedules import as_schedule, lowest
from ganvas.types import Batch

BELOW_ONE = 1 - 2**-24
"""The largest float32 below 1. Times a whole number, rounded, it is still below that number."""


class Use(IntEnum):
    """Independent draws of one batch; 0 is the generator's noise."""

    LABELS = 1
    REAL_NOISE = 2
    FAKE_NOISE = 3
    REAL_AUGMENT = 4
    FAKE_AUGMENT = 5
    REPLAY = 6
    PENALTY = 7  # and above


class Showing(AdversarialModule):
    """Abstract: what is done to labels and images for the critic's sake, each off by default.

    In training only: evaluation reports the bare losses of bare images. Draws are keyed, so a
    resumed run, and several ranks, have the same ones.

    Args:
        loss: of the game.
        label_smoothing: see `Labels`.
        label_noise: see `Labels`.
        label_flips: see `Labels`.
        instance_noise: standard deviation of normal noise on all that the critic sees, in units
            of the images' range; a number or a schedule (Sønderby et al. 2017, arXiv:1610.04490).
        augment: policy of `diff_augment`, on real and fake images in both sides' steps.
        replay: old fakes kept to be shown to the critic again; see `ImageHistory`.
        base: arguments of `AdversarialModule`.

    Raises:
        ValueError: if a value is out of its range, or labels are soft under a loss without any.
    """

    def __init__(
        self,
        *,
        loss: AdversarialLoss,
        label_smoothing: float = 0.0,
        label_noise: float = 0.0,
        label_flips: float = 0.0,
        instance_noise: float | Schedule = 0.0,
        augment: Sequence[str] = (),
        replay: int = 0,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.loss = loss
        self.labels = Labels(label_smoothing, label_noise, label_flips)
        self.labels.check(loss)
        if lowest(instance_noise) < 0:
            raise ValueError(f"instance_noise must be at least 0, got {instance_noise}")
        self.noisy, self.instance_noise = instance_noise != 0, as_schedule(instance_noise)
        self.augment = checked_policy(augment)
        self.history = ImageHistory(image_shape=self.image_shape, size=replay)

    def uniform(self, batch: Batch, *size: int, use: int) -> Tensor:
        """Uniform noise in [0, 1), `(B, *size)`, keyed as `noise` is.

        Φ of normal noise; that is 1 in float32 from 5.4 on, hence the clamp.
        """
        return torch.special.ndtr(self.noise(batch, *size, use=use)).clamp(max=BELOW_ONE)

    def seen(self, images: Tensor, batch: Batch, *, real: bool) -> Tensor:
        """Images as the critic sees them: augmented, then with instance noise."""
        if not self.training:
            return images
        if self.augment:
            use = Use.REAL_AUGMENT if real else Use.FAKE_AUGMENT
            draws = self.uniform(batch, WIDTH, use=use)
            images = diff_augment(images, draws, policy=self.augment, value_range=self.value_range)
        if self.noisy:
            use = Use.REAL_NOISE if real else Use.FAKE_NOISE
            scale = self.instance_noise(self.step) * (self.value_range[1] - self.value_range[0])
            images = images + scale * self.noise(batch, *self.image_shape, use=use)
        return images

    def replayed(self, fake: Tensor, batch: Batch) -> Tensor:
        """Fakes, some of them exchanged for old ones."""
        if not self.training or self.history.size == 0:
            return fake
        return self.history.exchanged(fake, self.uniform(batch, 2, use=Use.REPLAY))

    def critic_loss(self, real: Tensor, fake: Tensor, batch: Batch) -> Tensor:
        """The critic's loss `(B,)` of logits `(B,)`, by the labels that it is told."""
        if self.labels.hard or not self.training:
            return self.loss.critic(real, fake)
        draws = self.uniform(batch, 4, use=Use.LABELS)
        return self.labels.critic_loss(self.loss, real, fake, draws)
