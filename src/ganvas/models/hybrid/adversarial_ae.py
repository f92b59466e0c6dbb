"""The adversarial autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.weights import check_weights
from ganvas.models.adversarial import AdversarialModule
from ganvas.models.autoencoder.coding import Coding
from ganvas.models.hybrid.critics import CodeCritic, EncoderDecoderCritic
from ganvas.types import Batch, LossTerms


class AdversarialAutoencoder(Coding, AdversarialModule):
    """minimise E_x d(x, x̂) with the codes driven to N(0, I) by a critic (Makhzani et al. 2015).

    arXiv:1511.05644, sec. 2, with a deterministic encoder. The critic tells codes drawn from
    N(0, I) from the encoder's; the encoder minimises d + λ · (the generator's adversarial loss).

    Deviations: one step on the sum, where the paper takes a step for reconstruction and then one
    for regularisation, which has no λ; the prior is N(0, I), not N(0, 5² I).

    Args:
        adversarial: what critic and encoder minimise, from logits.
        adversarial_weight: λ.
        network: factories `encoder`, `decoder` and `critic` (asked for one logit of a code).
        autoencoder: arguments of `Coding` and `AdversarialModule`; the sides are `generator`
            (encoder and decoder) and `critic`.

    Raises:
        ValueError: if adversarial_weight is below 0.
    """

    standard_normal_prior = True
    monitor: ClassVar[str | None] = "val/reconstruction_mse"

    def __init__(
        self,
        *,
        adversarial: AdversarialLoss,
        adversarial_weight: float,
        network: EncoderDecoderCritic,
        **autoencoder: Any,
    ) -> None:
        super().__init__(network=network, **autoencoder)
        check_weights(adversarial_weight=adversarial_weight)
        self.adversarial = adversarial
        self.adversarial_weight = adversarial_weight
        self.critic = CodeCritic(network["critic"], latent_dim=self.latent_dim)

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and critic."""
        return {**super().networks(), "critic": self.critic}

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The critic of codes."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The autoencoder."""
        return {"generator": [self.encoder, self.decoder]}

    def critic_terms(self, batch: Batch) -> LossTerms:
        """The critic's loss, and its mean logits on prior codes (real) and on codes (fake)."""
        with torch.no_grad():
            codes = self.encode(batch.x)
        real = self.critic(self.noise(batch, self.latent_dim))
        fake = self.critic(codes)
        return LossTerms(
            self.adversarial.critic(real, fake).mean(),
            {"real_logit": real.mean(), "fake_logit": fake.mean()},
        )

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from its reconstruction, and of its codes from the prior."""
        code = self.encode(batch.x)
        compares = self.adversarial.compares
        real = self.critic(self.noise(batch, self.latent_dim)) if compares else None
        return self.reconstruction_terms(batch.x, code).plus(
            "adversarial",
            self.adversarial.generator(real, self.critic(code)).mean(),
            weight=self.adversarial_weight,
        )

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)` from N(0, I)."""
        return self.prior_noise(num, self.latent_dim, seed=seed)

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Images `(num, C, H, W)` of codes from the prior (or of the given `noise`)."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)
