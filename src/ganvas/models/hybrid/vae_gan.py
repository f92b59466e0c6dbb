"""The VAE-GAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.losses.adversarial import AdversarialLoss
from ganvas.models.adversarial import AdversarialModule
from ganvas.models.hybrid.critics import EncoderDecoderCritic, FeatureCritic
from ganvas.models.vae.variational import LatentVariable
from ganvas.types import Batch, LossTerms


class VAEGAN(LatentVariable, AdversarialModule):
    """VAE whose reconstructions are judged by a critic's features (Larsen et al. 2016).

    arXiv:1512.09300, algorithm 1. With f = Dis_l, x̃ = decode(z) of z ~ q(z|x), x_p = decode(z_p)
    of z_p ~ N(0, I), and L_f = ½ ‖f(x) − f(x̃)‖² (−log N(f(x) | f(x̃), I) but for a constant):

        encoder:  KL(q(z|x) ‖ N(0, I)) + L_f
        decoder:  γ · L_f + the generator's adversarial loss on x̃ and x_p
        critic:   the critic's adversarial loss on x against x̃ and x_p

    One backward pass serves encoder and decoder: γ · L_f with the gradient at z divided by γ, and
    the game on decode(z) with z held fixed. `distortion`, `rate` and `elbo` are measured with the
    pixel likelihood, which nothing is trained on (not even its own scale).

    Deviations: L_f is on the critic's last hidden layer, dense and layer-normalised, where the
    paper has a batch-normalised convolution; the two kinds of fake count half each, so that
    real and fake weigh alike.

    Args:
        gamma: γ.
        num_features: width of the critic's last hidden layer.
        network: factories `encoder`, `decoder` and `critic` (asked for the features).
        loss: what critic and decoder minimise in the game, from logits.
        model: arguments of `LatentVariable` and `AdversarialModule`; the sides are `generator`
            (encoder and decoder) and `critic`.

    Raises:
        ValueError: if gamma is not positive, or num_features under 1.
    """

    monitor: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        gamma: float,
        num_features: int,
        network: EncoderDecoderCritic,
        loss: AdversarialLoss,
        **model: Any,
    ) -> None:
        super().__init__(network=network, **model)
        if gamma <= 0:
            raise ValueError(f"gamma must be positive, got {gamma}; 1e-6 all but drops L_f")
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        self.gamma = gamma
        self.loss = loss
        self.critic = FeatureCritic(
            network["critic"], image_shape=self.image_shape, num_features=num_features
        )
        self.likelihood.requires_grad_(False)

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder, decoder and critic."""
        return {**super().networks(), "critic": self.critic}

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """The critic with its features."""
        return {"critic": [self.critic]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """Encoder and decoder."""
        return {"generator": [self.encoder, self.decoder]}

    def prior_images(self, batch: Batch) -> Tensor:
        """As many images `(B, C, H, W)` as the batch has, of codes from the prior."""
        return self.decode(self.codes_from(lambda width: self.noise(batch, width, use=1)))

    def critic_terms(self, batch: Batch) -> LossTerms:
        """The critic's loss, and its mean logits on the three kinds of image."""
        with torch.no_grad():
            z = self.posterior(batch.x).sample(self.noise(batch, self.latent_dim))
            made, sampled = self.decode(z), self.prior_images(batch)
        logits = [self.critic(images) for images in (batch.x, made, sampled)]
        loss = torch.stack([self.loss.critic(logits[0], fake) for fake in logits[1:]]).mean()
        names = ("real_logit", "reconstruction_logit", "sample_logit")
        return LossTerms(loss, {n: v.mean() for n, v in zip(names, logits, strict=True)})

    def generator_terms(self, batch: Batch) -> LossTerms:
        """The sum whose gradient is the encoder's and the decoder's, each its own."""
        posterior = self.posterior(batch.x)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        decoded = self.decoder(with_scaled_gradient(z, 1 / self.gamma))
        features = self.critic.features(self.likelihood.mean(decoded)).float()
        target = self.critic.features(batch.x).float()
        distance = 0.5 * (target - features).square().sum(1).mean()
        fakes = (self.decode(z.detach()), self.prior_images(batch))
        real = self.critic(batch.x) if self.loss.compares else None
        game = [self.loss.generator(real, self.critic(fake)) for fake in fakes]
        adversarial = torch.stack(game).mean()
        rate = self.rate(posterior, z).mean()
        distortion = -self.likelihood.log_prob(batch.x, decoded.detach()).mean()
        parts = {
            "feature_distance": distance,
            "adversarial": adversarial,
            "distortion": distortion,
            "rate": rate,
            "elbo": -distortion - rate,
            **self.likelihood.parts(),
        }
        return LossTerms(rate + self.gamma * distance + adversarial, parts)


def with_scaled_gradient(z: Tensor, weight: float) -> Tensor:
    """`z` itself, whose gradient is multiplied by `weight` on its way back."""
    fixed = z.detach()
    return fixed + weight * (z - fixed)
