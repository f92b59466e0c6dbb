"""GANs that are asked for a class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.models.gan.gan import GAN, GeneratorCritic
from ganvas.models.latent import checked_classes
from ganvas.nn.conditional import required
from ganvas.types import Batch

Condition = Callable[..., nn.Module]
"""`condition(factory, num_classes=K, **sizes)`: the network of `factory`, with labels beside."""


class ClassConditional(GAN):
    """Abstract: a generator that is told the class; what the critic does with it is left open.

    Labels are the data's. The fakes of a batch have the batch's labels, so real and fake images
    have the same classes and each pair of a comparing loss is of one class.

    Args:
        num_classes: classes K of the data; None where they have no labels.
        network: factories `generator` and `critic`.
        generator_condition: how the generator is told, such as `ConcatenatedGenerator`.
        gan: further arguments of `GAN`.

    Raises:
        ValueError: if the data have no labels, or old fakes are to be replayed.
    """

    def __init__(
        self,
        *,
        num_classes: int | None,
        network: GeneratorCritic,
        generator_condition: Condition,
        **gan: Any,
    ) -> None:
        classes = checked_classes(num_classes, otherwise="gan")
        told = partial(generator_condition, network["generator"], num_classes=classes)
        super().__init__(network={**network, "generator": told}, **gan)
        self.num_classes = classes
        if self.history.size:
            raise ValueError(
                f"replay must be 0 for a conditional model, got {self.history.size}: old fakes "
                "are kept without their labels"
            )

    def fakes(self, batch: Batch) -> Tensor:
        """Images `(B, C, H, W)` of the batch's own noise and labels."""
        return self.generator(self.shaped(self.noise(batch, self.latent_dim)), required(batch.y))

    def class_labels(self, num: int) -> Tensor:
        """Labels 0, 1, …, K − 1, 0, … `(num,)`."""
        return torch.arange(num, device=self.device) % self.num_classes

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Noise `(B, Z)` with labels `(B,)` to images, by the averaged generator if any."""
        return (self.average or self.generator)(z, required(y))

    def sample(
        self,
        num: int,
        *,
        noise: Tensor | None = None,
        seed: int = 0,
        y: Tensor | None = None,
    ) -> Tensor:
        """Images `(num, C, H, W)` of classes `y` `(num,)`; without, of each class in turn."""
        codes = self.prior_codes(num, seed=seed) if noise is None else noise
        return self.decode(codes, self.class_labels(num) if y is None else y)


class ConditionalGAN(ClassConditional):
    """The game for each class: D(x, y) against G(z, y) (Mirza & Osindero 2014, eq. 2).

    arXiv:1411.1784. How each side is told the class is a choice of its own, whatever the network,
    loss and penalties; with a projection critic it is Miyato & Koyama's (2018, arXiv:1802.05637).

    Args:
        num_classes: classes K of the data; None where they have no labels.
        network: factories `generator` and `critic`.
        critic_condition: how the critic is told, such as `ProjectionCritic`.
        labelled: further arguments of `ClassConditional`.

    Raises:
        ValueError: if the data have no labels.
    """

    def __init__(
        self,
        *,
        num_classes: int | None,
        network: GeneratorCritic,
        critic_condition: Condition,
        **labelled: Any,
    ) -> None:
        told = partial(critic_condition, network["critic"], num_classes=num_classes)
        super().__init__(num_classes=num_classes, network={**network, "critic": told}, **labelled)

    def judged(self, images: Tensor, y: Tensor | None, *, plain: bool = False) -> Tensor:
        """The critic's outputs `(B, 1)` for images with labels `(B,)`; see `GAN`."""
        return (self.critic.forward if plain else self.critic)(images, required(y)).float()
