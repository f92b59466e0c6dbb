"""The FactorVAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganvas.losses.weights import check_weights
from ganvas.models.adversarial import AdversarialModule
from ganvas.models.hybrid.critics import CodeCritic, EncoderDecoderCritic
from ganvas.models.vae.variational import Variational
from ganvas.types import Batch, LossTerms


class FactorVAE(Variational, AdversarialModule):
    """minimise −ELBO + γ · E_q(z) log[D(z) / (1 − D(z))] (Kim & Mnih 2018, arXiv:1802.05983).

    Algorithm 2. D = sigmoid(critic) tells codes of q(z) from codes of ∏_j q(z_j), so at its
    optimum the second term is the total correlation KL(q(z) ‖ ∏_j q(z_j)), reported as
    `total_correlation` (a critic that learns slowly estimates too little). Codes of ∏_j q(z_j)
    are codes whose dimensions are permuted over the batch, each by itself.

    Deviations: the permuted codes are a second draw from q(z|x) for the same images, where the
    paper takes a second batch; one logit in place of two; the critic steps before the VAE. Each
    rank, and each batch of an accumulation window, permutes its own codes.

    Args:
        gamma: weight γ of the total correlation.
        network: factories `encoder`, `decoder` and `critic` (asked for one logit of a code).
        variational: arguments of `Variational` and `AdversarialModule`; the sides are `generator`
            (encoder and decoder) and `critic`.

    Raises:
        ValueError: if gamma is below 0.
    """

    def __init__(self, *, gamma: float, network: EncoderDecoderCritic, **variational: Any) -> None:
        super().__init__(network=network, **variational)
        check_weights(gamma=gamma)
        self.gamma = gamma
        self.critic = CodeCritic(network["critic"], latent_dim=self.latent_dim)

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and critic."""
        return {**super().networks(), "critic": self.critic}

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The critic of codes."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The VAE, with what its likelihood may learn."""
        return {"generator": [self.encoder, self.decoder, self.likelihood]}

    def critic_terms(self, batch: Batch) -> LossTerms:
        """Cross-entropy of telling codes from permuted codes, ½ (1/B) Σ over both kinds."""
        width = self.latent_dim
        with torch.no_grad():
            posterior = self.posterior(batch.x)
            joint = posterior.sample(self.noise(batch, width))
            other = posterior.sample(self.noise(batch, width, use=2))
            permuted = permuted_columns(other, self.noise(batch, width, use=3))
        joint_logits, permuted_logits = self.critic(joint), self.critic(permuted)
        loss = 0.5 * (softplus(-joint_logits) + softplus(permuted_logits)).mean()
        return LossTerms(loss, {"permuted_logit": permuted_logits.mean()})

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The VAE's objective, and the critic's estimate of the total correlation."""
        outputs = self.outputs(batch)
        total_correlation = self.critic(outputs.z).mean()
        return self.objective_terms(outputs).plus(
            "total_correlation", total_correlation, weight=self.gamma
        )


def permuted_columns(codes: Tensor, noise: Tensor) -> Tensor:
    """Codes `(B, Z)` with each column in an order of its own: that of `noise` `(B, Z)`."""
    return codes.gather(0, noise.argsort(0))
