"""The generative adversarial network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict

import torch
from torch import Tensor, nn

from ganvas.losses.adversarial import AdversarialLoss
from ganvas.models.adversarial import AdversarialModule, OptimizerFactory
from ganvas.models.latent import checked_width
from ganvas.nn.ema import ExponentialMovingAverage
from ganvas.protocols import Decoder, Encoder
from ganvas.types import Batch, ImageShape, LossTerms, ValueRange


class GeneratorCritic(TypedDict):
    """The `network` config of GANs."""

    generator: Decoder
    critic: Encoder


class GAN(AdversarialModule):
    """Generator against critic (Goodfellow et al. 2014, arXiv:1406.2661).

    Real and fake images pass the critic apart, so batch norm sees each kind with its own
    statistics. Critic and generator of one batch use the same noise.

    Args:
        image_shape: (C, H, W).
        latent_dim: width Z of the noise.
        network: factories `generator` and `critic` (asked for one logit).
        loss: what each side minimises, from logits.
        optimizer: factories `generator` and `critic`.
        n_critic: critic steps per generator step.
        ema_decay: of the averaged generator that samples are drawn from; None for none.
    """

    value_range: ClassVar[ValueRange] = (-1.0, 1.0)

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        latent_dim: int,
        network: GeneratorCritic,
        loss: AdversarialLoss,
        optimizer: Mapping[str, OptimizerFactory],
        n_critic: int,
        ema_decay: float | None,
    ) -> None:
        super().__init__(image_shape=image_shape, optimizer=optimizer, n_critic=n_critic)
        self.latent_dim = checked_width(latent_dim)
        self.generator = network["generator"](num_inputs=latent_dim, image_shape=image_shape)
        self.critic = network["critic"](image_shape=image_shape, num_outputs=1)
        self.loss = loss
        self.average = (
            None if ema_decay is None else ExponentialMovingAverage(self.generator, decay=ema_decay)
        )

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """One critic."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """One generator."""
        return {"generator": [self.generator]}

    def critic_terms(self, batch: Batch) -> LossTerms:
        """The critic's loss, and its mean logits on both kinds."""
        with torch.no_grad():
            fake = self.generator(self.noise(batch, self.latent_dim))
        real_logits = self.critic(batch.x).float().squeeze(1)
        fake_logits = self.critic(fake).float().squeeze(1)
        return LossTerms(
            self.loss.critic(real_logits, fake_logits).mean(),
            {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()},
        )

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The generator's loss."""
        fake = self.generator(self.noise(batch, self.latent_dim))
        return LossTerms(self.loss.generator(self.critic(fake).float().squeeze(1)).mean())

    def after_generator_step(self) -> None:
        """The average follows the generator."""
        if self.average is not None:
            self.average.update(self.generator)

    def decode(self, z: Tensor) -> Tensor:
        """Noise `(B, Z)` to images `(B, C, H, W)` in [-1, 1], by the averaged generator if any."""
        return self.generator(z) if self.average is None else self.average(z)

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Noise `(num, Z)` from N(0, I)."""
        return self.prior_noise(num, self.latent_dim, seed=seed)

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Images `(num, C, H, W)` in [-1, 1] from standard normal (or the given) noise."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)
