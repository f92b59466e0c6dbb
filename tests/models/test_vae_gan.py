"""VAE-GAN: which gradient goes where, and what is only measured."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganvas.losses.adversarial import AdversarialLoss, MinimaxLoss, NonSaturatingLoss
from ganvas.losses.divergences import standard_normal_kl
from ganvas.models.hybrid.vae_gan import VAEGAN, with_scaled_gradient
from ganvas.nn.likelihoods import BernoulliLikelihood, GaussianLikelihood, Likelihood
from ganvas.types import Batch
from models.hybrids import (
    assert_sides_are_apart,
    assert_three_steps_train_all,
    generator_gradients,
    network,
)
from models.tiny import SHAPE, images, sgd


def vae_gan(
    *,
    gamma: float = 0.1,
    num_features: int = 6,
    loss: AdversarialLoss | None = None,
    likelihood: Likelihood | None = None,
) -> VAEGAN:
    torch.manual_seed(1)
    return VAEGAN(
        image_shape=SHAPE,
        latent_dim=3,
        gamma=gamma,
        num_features=num_features,
        network=network(),
        loss=loss or NonSaturatingLoss(),
        likelihood=likelihood or BernoulliLikelihood(),
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
    )


def terms_by_hand(model: VAEGAN, batch: Batch) -> dict[str, Tensor]:
    """Rate, feature distance and game of algorithm 1, on one plain graph."""
    posterior = model.posterior(batch.x)
    z = posterior.sample(model.noise(batch, 3))
    made, sampled = model.decode(z), model.decode(model.noise(batch, 3, use=1))
    error = model.critic.features(batch.x) - model.critic.features(made)
    game = [model.loss.generator(None, model.critic(fake)) for fake in (made, sampled)]
    return {
        "rate": standard_normal_kl(posterior).mean(),
        "distance": 0.5 * error.square().sum(1).mean(),
        "game": torch.cat(game).mean(),
        "distortion": -model.likelihood.log_prob(batch.x, model.decoder(z)).mean(),
    }


@pytest.mark.parametrize("loss", [NonSaturatingLoss(), MinimaxLoss()])
@pytest.mark.parametrize("gamma", [1e-3, 1.0, 20.0])
def test_encoder_and_decoder_get_their_own_gradients(gamma: float, loss: AdversarialLoss) -> None:
    model, batch = vae_gan(gamma=gamma, loss=loss), Batch(images(6))
    made = generator_gradients(model, batch, ["encoder", "decoder"])
    t = terms_by_hand(model, batch)
    encoder = torch.autograd.grad(
        t["rate"] + t["distance"], list(model.encoder.parameters()), retain_graph=True
    )
    torch.testing.assert_close(made["encoder"], list(encoder))
    decoder = torch.autograd.grad(
        gamma * t["distance"] + t["game"], list(model.decoder.parameters()), retain_graph=True
    )
    torch.testing.assert_close(made["decoder"], list(decoder))
    if gamma != 1:  # the plain sum would have given the encoder another one
        total = t["rate"] + gamma * t["distance"] + t["game"]
        plain = torch.autograd.grad(total, list(model.encoder.parameters()))
        assert not torch.allclose(plain[0], made["encoder"][0], rtol=1e-3)


def test_the_parts_are_those_of_the_algorithm() -> None:
    model, batch = vae_gan(), Batch(images(6))
    terms, t = model.generator_terms(batch), terms_by_hand(model, batch)
    torch.testing.assert_close(terms.parts["rate"], t["rate"])
    torch.testing.assert_close(terms.parts["feature_distance"], t["distance"])
    torch.testing.assert_close(terms.parts["adversarial"], t["game"])
    torch.testing.assert_close(terms.parts["distortion"], t["distortion"])
    torch.testing.assert_close(terms.parts["elbo"], -t["distortion"] - t["rate"])
    torch.testing.assert_close(terms.total, t["rate"] + 0.1 * t["distance"] + t["game"])


def test_the_pixel_likelihood_is_measured_and_never_trained_on() -> None:
    batch, names = Batch(images(6)), ["encoder", "decoder"]
    bernoulli = vae_gan()
    gaussian = vae_gan(likelihood=GaussianLikelihood(sigma=0.1, learn_sigma=True))
    assert [p.requires_grad for p in gaussian.likelihood.parameters()] == [False]
    one, other = (generator_gradients(m, batch, names) for m in (bernoulli, gaussian))
    for name in names:
        assert all(torch.equal(a, b) for a, b in zip(one[name], other[name], strict=True))
    values = [m.generator_terms(batch).parts["distortion"] for m in (bernoulli, gaussian)]
    assert values[0] != values[1]


def test_the_critics_features_are_normalised_and_its_head_is_not_linear_in_them() -> None:
    critic = vae_gan(num_features=50).critic
    features = critic.features(100 * images(6))
    torch.testing.assert_close(features.mean(1), torch.zeros(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.var(1, correction=0), torch.ones(6), rtol=1e-3, atol=0)
    bent = torch.where(features > 0, features, 0.2 * features)
    torch.testing.assert_close(critic(100 * images(6)), critic.head(bent).squeeze(1))


def test_the_critic_sees_images_reconstructions_and_samples() -> None:
    model, batch = vae_gan(), Batch(images(6))
    terms = model.critic_terms(batch)
    z = model.posterior(batch.x).sample(model.noise(batch, 3))
    real = model.critic(batch.x)
    made, sampled = model.critic(model.decode(z)), model.critic(model.prior_images(batch))
    losses = [model.loss.critic(real, fake).mean() for fake in (made, sampled)]
    torch.testing.assert_close(terms.total, (losses[0] + losses[1]) / 2)
    assert not torch.isclose(losses[0], losses[1])
    torch.testing.assert_close(terms.parts["reconstruction_logit"], made.mean())
    torch.testing.assert_close(terms.parts["sample_logit"], sampled.mean())
    torch.testing.assert_close(terms.parts["real_logit"], real.mean())


def test_a_scaled_gradient_leaves_the_value_to_the_bit() -> None:
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for weight in (1e-6, 1.0, 1e6):
        scaled = with_scaled_gradient(z, weight)
        assert torch.equal(scaled, z)
        (gradient,) = torch.autograd.grad(scaled.square().sum(), z)
        torch.testing.assert_close(gradient, weight * 2 * z.detach())


def test_each_side_trains_its_own_networks() -> None:
    assert_sides_are_apart(vae_gan(), Batch(images(6)))
    assert_three_steps_train_all(vae_gan())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"gamma": 0.0}, r"gamma must be positive, got 0\.0"),
        ({"num_features": 0}, "num_features must be at least 1, got 0"),
    ],
)
def test_impossible_values_are_refused(value: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vae_gan(**value)
