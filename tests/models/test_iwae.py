"""The importance-weighted bound: K = 1 is the ELBO, more is tighter; its two gradients."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ganvas.losses.elbo import ElboLoss
from ganvas.losses.iwae import importance_weighted_bound
from ganvas.models.vae import iwae as iwae_module
from ganvas.models.vae.iwae import IWAE
from ganvas.models.vae.vae import VAE
from ganvas.types import Batch, GaussianPosterior
from models.linear_gaussian import WIDTH, build, images, log_evidence

GRADIENTS = ("standard", "doubly_reparameterized")


def iwae(num_samples: int, *, gradient: str = "standard", **own: Any) -> IWAE:
    return build(IWAE, num_samples=num_samples, gradient=gradient, **own)


def test_the_bound_is_the_log_of_the_mean_weight() -> None:
    log_weights = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double() * 3
    expected = [math.log(sum(math.exp(w) for w in row) / 4) for row in log_weights.tolist()]
    got = importance_weighted_bound(log_weights)
    assert got.tolist() == pytest.approx(expected, abs=1e-12)
    far = importance_weighted_bound(log_weights - 1e5)  # no weight underflows
    torch.testing.assert_close(far + 1e5, got, rtol=0, atol=1e-9)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_one_sample_is_the_sampled_elbo_under_the_same_noise(gradient: str) -> None:
    batch = Batch(images(6))
    vae = build(VAE, loss=ElboLoss(beta=1.0, reconstruction_weight=1.0))
    outputs, got = vae.outputs(batch), iwae(1, gradient=gradient).loss_terms(batch)
    q, z = outputs.posterior, outputs.z
    log_q = Normal(q.mu, (0.5 * q.log_var).exp()).log_prob(z).sum(1)
    sampled = outputs.log_likelihood + Normal(0, 1).log_prob(z).sum(1) - log_q
    torch.testing.assert_close(got.parts["iwae"], sampled.mean(), rtol=0, atol=1e-12)
    torch.testing.assert_close(got.total, -sampled.mean(), rtol=0, atol=1e-12)
    parts = vae.loss_terms(batch).parts
    for name in ("distortion", "rate", "elbo"):
        assert torch.equal(got.parts[name], parts[name]), name


def test_the_distortion_is_the_mean_over_all_codes() -> None:
    model, batch = iwae(4), Batch(images(6))
    noise = model.noise(batch, 4, WIDTH)
    log_likelihood, _ = model.log_weights(batch.x, model.posterior(batch.x), noise)
    parts = model.loss_terms(batch).parts
    assert log_likelihood.shape == (6, 4)
    torch.testing.assert_close(parts["distortion"], -log_likelihood.mean())
    assert torch.equal(parts["elbo"], -parts["distortion"] - parts["rate"])


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_the_bound_grows_with_the_number_of_samples(seed: int) -> None:
    x = images(1).expand(2000, -1, -1, -1)  # 2000 draws of noise for one image
    bounds = []
    for num_samples in (1, 5, 50):
        model = iwae(num_samples, encoder_error=0.5).requires_grad_(False)
        model.seed = seed
        bounds.append(model.loss_terms(Batch(x)).parts["iwae"].item())
    bounds.append(log_evidence(model, x[:1]).item())
    steps = [later - earlier for earlier, later in pairwise(bounds)]
    assert min(steps) > 0, f"K = 1, 5, 50 and log p(x): {bounds}"
    assert steps[0] > steps[2], bounds


def encoder_gradients(gradient: str, *, error: float = 0.5, draws: int = 20_000) -> Tensor:
    """d bound / d (mu, log_var) of one image, once for each draw of noise, `(draws, 2·Z)`."""
    model = iwae(3, gradient=gradient, encoder_error=error).requires_grad_(False)
    x = images(1).expand(draws, -1, -1, -1)
    with torch.no_grad():
        q = model.posterior(x)
    leaves = q.mu.clone().requires_grad_(), q.log_var.clone().requires_grad_()
    noise = torch.randn(draws, 3, WIDTH, generator=torch.Generator().manual_seed(5)).double()
    _, log_weights = model.log_weights(x, GaussianPosterior(*leaves), noise)
    importance_weighted_bound(log_weights).sum().backward()
    return torch.cat([leaf.grad for leaf in leaves], 1)


def farthest(one: Tensor, other: Tensor) -> float:
    """Largest difference of the means, in its standard errors."""
    error = (one - other).std(0) / len(one) ** 0.5
    return ((one - other).mean(0).abs() / error).max().item()


def test_both_gradients_have_the_same_mean_and_the_second_less_variance() -> None:
    standard, doubly = (encoder_gradients(gradient) for gradient in GRADIENTS)
    assert farthest(standard, doubly) < 4
    assert doubly.var(0).sum() < 0.5 * standard.var(0).sum()


def test_with_the_weights_unsquared_the_mean_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    standard = encoder_gradients("standard")
    monkeypatch.setattr(iwae_module, "reparameterize_twice", lambda z, log_weights: None)
    assert farthest(standard, encoder_gradients("doubly_reparameterized")) > 10


def test_at_the_true_posterior_the_second_gradient_has_no_noise_at_all() -> None:
    doubly = encoder_gradients("doubly_reparameterized", error=0.0, draws=50)
    torch.testing.assert_close(doubly, torch.zeros_like(doubly), rtol=0, atol=1e-9)
    assert encoder_gradients("standard", error=0.0, draws=50).std(0).min() > 0.1


def test_the_decoder_gets_the_same_gradient_from_both_and_the_encoder_does_not() -> None:
    batch, models = Batch(images(6)), [iwae(4, gradient=gradient) for gradient in GRADIENTS]
    totals = [model.loss_terms(batch).total for model in models]
    assert torch.equal(*totals)
    for total in totals:
        total.backward()
    for name in ("decoder", "encoder"):
        one, other = ([p.grad for p in getattr(model, name).parameters()] for model in models)
        same = [torch.equal(a, b) for a, b in zip(one, other, strict=True)]
        assert all(same) if name == "decoder" else not any(same), name


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_evaluation_needs_no_gradient_and_has_noise_of_its_own(gradient: str) -> None:
    model, batch = iwae(4, gradient=gradient), Batch(images(6))
    trained = model.loss_terms(batch).parts["iwae"]
    model.eval()
    with torch.no_grad():
        first, second = model.evaluation_parts(batch), model.evaluation_parts(batch)
    assert torch.equal(first["iwae"], second["iwae"])
    assert not torch.equal(first["iwae"], trained)


def test_the_bound_does_not_depend_on_how_a_global_batch_is_cut() -> None:
    model, x = iwae(4), images(6)
    whole = model.loss_terms(Batch(x, total=6)).total
    cuts = [Batch(x[:2], total=6), Batch(x[2:], offset=2, total=6)]
    halves = [model.loss_terms(cut).total * len(cut) / 6 for cut in cuts]
    torch.testing.assert_close(sum(halves), whole)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0; 1 gives the sam"):
        iwae(0)
