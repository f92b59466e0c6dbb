"""The generative adversarial network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from ganvas.losses.penalties import Penalty
from ganvas.models.gan.checks import output_range, warn_of_batch_statistics
from ganvas.models.gan.showing import Showing, Use
from ganvas.models.latent import checked_width
from ganvas.nn.ema import ExponentialMovingAverage
from ganvas.protocols import Decoder, Encoder
from ganvas.types import Batch, LossTerms


class GeneratorCritic(TypedDict):
    """The `network` config of GANs."""

    generator: Decoder
    critic: Encoder


class GAN(Showing):
    """Generator against critic (Goodfellow et al. 2014, arXiv:1406.2661).

    Loss, penalties and networks are independent of each other. Critic and generator of one batch
    use the same noise. Images have the range of the generator's last activation: [0, 1] for a
    sigmoid, else [−1, 1].

    Args:
        latent_dim: width Z of the noise.
        network: factories `generator` and `critic` (asked for `num_outputs` values).
        penalty: what keeps the critic smooth, by name; they are summed.
        ema_decay: of the averaged generator that samples are drawn from; None for none.
        ema_warmup: see `ExponentialMovingAverage`.
        prior: of the noise: N(0, I), or uniform on [−1, 1].
        together: whether real and fake images pass the critic in one batch, so that batch norm
            has one set of statistics for both, in both sides' steps; apart otherwise.
        showing: arguments of `Showing` and `AdversarialModule`.

    Raises:
        ValueError: if a value is out of its range.
    """

    num_outputs: int = 1

    def __init__(
        self,
        *,
        latent_dim: int,
        network: GeneratorCritic,
        penalty: Mapping[str, Penalty],
        ema_decay: float | None,
        ema_warmup: int = 0,
        prior: Literal["normal", "uniform"] = "normal",
        together: bool = False,
        **showing: Any,
    ) -> None:
        super().__init__(**showing)
        self.latent_dim, self.prior = checked_width(latent_dim), prior
        self.standard_normal_prior = prior == "normal"
        self.generator = self.build_generator(network["generator"])
        self.critic = self.build_critic(network["critic"])
        self.value_range = output_range(self.generator, num_inputs=self.latent_dim)
        self.penalty, self.together = dict(penalty), together
        warn_of_batch_statistics(self.critic, self.penalty)
        self.after_critic_step()  # clipped weights are so from the first step on
        self.average: ExponentialMovingAverage | None = None
        if ema_decay is not None:
            self.average = ExponentialMovingAverage(
                self.generator, decay=ema_decay, warmup=ema_warmup
            )

    def build_generator(self, factory: Decoder) -> nn.Module:
        """A module from noise `(B, Z)` to images."""
        return factory(num_inputs=self.latent_dim, image_shape=self.image_shape)

    def build_critic(self, factory: Encoder) -> nn.Module:
        """A module from images to `(B, num_outputs)`, logits first."""
        return factory(image_shape=self.image_shape, num_outputs=self.num_outputs)

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """One critic."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """One generator."""
        return {"generator": [self.generator]}

    def fakes(self, batch: Batch) -> Tensor:
        """As many images `(B, C, H, W)` as the batch has, of its own noise."""
        return self.generator(self.shaped(self.noise(batch, self.latent_dim)))

    def judged(self, images: Tensor, y: Tensor | None, *, plain: bool = False) -> Tensor:
        """The critic's outputs `(B, num_outputs)`, logits first.

        Args:
            images: `(B, C, H, W)`.
            y: labels `(B,)`, or None for unlabelled data.
            plain: past `torch.compile`, whose backward pass can't be differentiated.
        """
        del y
        return (self.critic.forward if plain else self.critic)(images).float()

    def judged_pair(self, real: Tensor, fake: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """The critic's outputs for real and for fake images, passed together or apart."""
        if not self.together:
            return self.judged(real, y), self.judged(fake, y)
        both = self.judged(torch.cat([real, fake]), None if y is None else torch.cat([y, y]))
        return both[: len(real)], both[len(real) :]

    def with_auxiliary(self, terms: LossTerms, judged: Sequence[Tensor], batch: Batch) -> LossTerms:
        """For methods: terms of both sides, of the outputs for real and fake, or for fake alone."""
        del judged, batch
        return terms

    def critic_terms(self, batch: Batch) -> LossTerms:
        """The critic's loss and penalties; mean logits, and the share of images that it tells."""
        with torch.no_grad():
            fake = self.seen(self.replayed(self.fakes(batch), batch), batch, real=False)
            real = self.seen(batch.x, batch, real=True)
        judged = self.judged_pair(real, fake, batch.y)
        real_logits, fake_logits = judged[0][:, 0], judged[1][:, 0]
        boundary = self.loss.boundary(real_logits, fake_logits)
        parts = {
            "real_logit": real_logits.mean(),
            "fake_logit": fake_logits.mean(),
            "real_accuracy": (real_logits > boundary).float().mean(),
            "fake_accuracy": (fake_logits < boundary).float().mean(),
        }
        terms = LossTerms(self.critic_loss(real_logits, fake_logits, batch).mean(), parts)
        return self._penalised(self.with_auxiliary(terms, judged, batch), real, fake, batch)

    def _penalised(self, terms: LossTerms, real: Tensor, fake: Tensor, batch: Batch) -> LossTerms:
        uses = count(Use.PENALTY)
        for name, penalty in self.penalty.items():
            terms = penalty.add_to(
                terms,
                name,
                critic=lambda images: self.judged(images, batch.y, plain=True)[:, 0],
                real=real,
                fake=fake,
                draw=lambda *size: self.uniform(batch, *size, use=next(uses)),
                step=self.counters["critic_steps"] if self.training else None,
            )
        return terms

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The generator's loss."""
        fake = self.seen(self.fakes(batch), batch, real=False)
        if self.loss.compares or self.together:
            real = self.seen(batch.x, batch, real=True)
            of_real, of_fake = self.judged_pair(real, fake, batch.y)
            loss = self.loss.generator(of_real[:, 0], of_fake[:, 0])
        else:
            of_fake = self.judged(fake, batch.y)
            loss = self.loss.generator(None, of_fake[:, 0])
        return self.with_auxiliary(LossTerms(loss.mean()), [of_fake], batch)

    def after_critic_step(self) -> None:
        """Weights are clipped, where a penalty does so."""
        for penalty in self.penalty.values():
            penalty.constrain(self.critic)

    def after_generator_step(self) -> None:
        """The average follows the generator."""
        if self.average is not None:
            self.average.update(self.generator, step=self.counters["generator_steps"] - 1)

    def decode(self, z: Tensor) -> Tensor:
        """Noise `(B, Z)` to images `(B, C, H, W)`, by the averaged generator if there is one."""
        return (self.average or self.generator)(z)

    def shaped(self, normal: Tensor) -> Tensor:
        """Standard normal noise as noise of the prior."""
        return normal if self.prior == "normal" else 2 * torch.special.ndtr(normal) - 1

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Noise `(num, Z)` from the prior."""
        return self.shaped(self.prior_noise(num, self.latent_dim, seed=seed))

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Images `(num, C, H, W)` from the prior's (or the given) noise."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)
