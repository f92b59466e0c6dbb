"""Any autoencoder with an adversarial loss on its reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.elbo import VAELoss
from ganvas.losses.reconstruction import ReconstructionLoss
from ganvas.losses.weights import check_weights
from ganvas.models.adversarial import AdversarialModule, OptimizerFactory
from ganvas.models.automatic import AutomaticModule
from ganvas.models.hybrid.critics import EncoderDecoderCritic
from ganvas.nn.corruptions import Corruption
from ganvas.nn.likelihoods import Likelihood
from ganvas.types import Batch, ImageShape, LossTerms


class AEGAN(AdversarialModule):
    """minimise (the autoencoder's own loss) + λ · (the generator's adversarial loss on x̂).

    The plain sum, as in Pathak et al. 2016 (arXiv:1604.07379, eq. 3) and many since, for any
    autoencoder or VAE with the `AutomaticModule` base. x̂ = reconstruct(x), so nothing is sampled
    or corrupted for the critic, which tells images from reconstructions.

    Args:
        autoencoder: factory of the autoencoder, with all that is its own; it gets `image_shape`,
            `network` and the groups that are given here.
        adversarial: what both sides of the game minimise, from logits.
        adversarial_weight: λ.
        network: factories `encoder`, `decoder` and `critic` (asked for one logit of an image).
        optimizer: factories `generator` (the autoencoder) and `critic`.
        loss: the autoencoder's own.
        likelihood: the autoencoder's own, where it takes one.
        corruption: the autoencoder's own, where it takes one.
        base: arguments of `AdversarialModule`.

    Raises:
        ValueError: if adversarial_weight is below 0.
    """

    monitor: ClassVar[str | None] = "val/loss"
    higher_is_better: ClassVar[Mapping[str, bool]] = {"loss": False, "elbo": True}

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        autoencoder: Callable[..., AutomaticModule],
        adversarial: AdversarialLoss,
        adversarial_weight: float,
        network: EncoderDecoderCritic,
        optimizer: Mapping[str, OptimizerFactory],
        loss: ReconstructionLoss | VAELoss,
        likelihood: Likelihood | None = None,
        corruption: Corruption | None = None,
        **base: Any,
    ) -> None:
        super().__init__(image_shape=image_shape, optimizer=optimizer, **base)
        check_weights(adversarial_weight=adversarial_weight)
        groups = {"loss": loss, "likelihood": likelihood, "corruption": corruption}
        self.autoencoder: Any = autoencoder(
            image_shape=image_shape,
            network={"encoder": network["encoder"], "decoder": network["decoder"]},
            optimizer=optimizer["generator"],
            **{name: part for name, part in groups.items() if part is not None},
        )
        self.critic = network["critic"](image_shape=image_shape, num_outputs=1)
        self.adversarial = adversarial
        self.adversarial_weight = adversarial_weight

    @property
    def latent_dim(self) -> int:
        """Width Z of the autoencoder's code."""
        return self.autoencoder.latent_dim

    def networks(self) -> Mapping[str, nn.Module]:
        """Those of the autoencoder, and the critic."""
        return {**self.autoencoder.networks(), "critic": self.critic}

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The critic of images."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The autoencoder with all that it trains."""
        return {"generator": [self.autoencoder]}

    def critic_terms(self, batch: Batch) -> LossTerms:
        """The critic's loss, and its mean logits on images and on reconstructions."""
        with torch.no_grad():
            made = self.reconstruct(batch.x)
        real, fake = self._logits(batch.x), self._logits(made)
        return LossTerms(
            self.adversarial.critic(real, fake).mean(),
            {"real_logit": real.mean(), "fake_logit": fake.mean()},
        )

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The autoencoder's objective as `loss`, its parts, and the game."""
        inner = self.autoencoder
        inner.seed, inner.counters = self.seed, self.counters  # its noise has our key
        own = inner.loss_terms(batch)
        real = self._logits(batch.x) if self.adversarial.compares else None
        game = self.adversarial.generator(real, self._logits(self.reconstruct(batch.x))).mean()
        return LossTerms(own.total, {"loss": own.total, **own.parts}).plus(
            "adversarial", game, weight=self.adversarial_weight
        )

    def _logits(self, x: Tensor) -> Tensor:
        return self.critic(x).float().squeeze(1)

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`."""
        return self.autoencoder.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in [0, 1]."""
        return self.autoencoder.decode(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions in [0, 1]."""
        return self.autoencoder.reconstruct(x)
