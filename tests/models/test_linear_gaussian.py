"""Where log p(x) is known: the VAE's and IWAE's bounds miss it by what theory says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ganvas.losses.elbo import ElboLoss
from ganvas.models.vae.iwae import IWAE
from ganvas.models.vae.vae import VAE
from ganvas.types import Batch, GaussianPosterior
from models.linear_gaussian import SIGMA, WIDTH, build, images, log_evidence, true_posterior


def vae(encoder_error: float | None = None) -> VAE:
    model = build(
        VAE, encoder_error=encoder_error, loss=ElboLoss(beta=1.0, reconstruction_weight=1.0)
    )
    return model.eval().requires_grad_(False)


def iwae(num_samples: int, *, encoder_error: float | None = None) -> IWAE:
    model = build(IWAE, encoder_error=encoder_error, num_samples=num_samples, gradient="standard")
    return model.eval().requires_grad_(False)


def exact_elbo(model: VAE, x: Tensor) -> Tensor:
    """E_q log p(x|z) − KL, `(B,)`: the quadratic's mean is its value at the mean less a trace."""
    posterior = model.posterior(x)
    at_mean = model.likelihood.log_prob(x, model.decoder(posterior.mu))
    columns = model.decoder[0].weight.square().sum(0)
    trace = (columns * posterior.log_var.exp()).sum(1)
    return at_mean - 0.5 * trace / SIGMA**2 - model.rate(posterior, posterior.mu)


def as_normal(q: GaussianPosterior) -> MultivariateNormal:
    return MultivariateNormal(q.mu, torch.diag_embed(q.log_var.exp()))


@pytest.mark.parametrize("encoder_error", [None, 0.3])
def test_the_elbo_falls_short_by_the_divergence_from_the_true_posterior(
    encoder_error: float | None,
) -> None:
    model, x = vae(encoder_error), images(20)
    gap = log_evidence(model, x) - exact_elbo(model, x)
    divergence = kl_divergence(as_normal(model.posterior(x)), true_posterior(model, x))
    torch.testing.assert_close(gap, divergence, rtol=0, atol=1e-9)
    assert gap.min() > 1e-3


def test_the_elbo_of_the_true_posterior_is_the_log_likelihood() -> None:
    model, x = vae(0.0), images(20)
    torch.testing.assert_close(exact_elbo(model, x), log_evidence(model, x), rtol=0, atol=1e-9)


def test_the_reported_elbo_is_a_sample_of_the_exact_one() -> None:
    model, x = vae(), images(1).expand(20_000, -1, -1, -1)
    outputs = model.outputs(Batch(x))
    sampled = outputs.log_likelihood - outputs.rate
    error = sampled.mean() - exact_elbo(model, x[:1])[0]
    assert abs(error) < 4 * sampled.std() / len(x) ** 0.5
    assert model.loss_terms(Batch(x)).parts["elbo"] == pytest.approx(sampled.mean().item())


def test_each_weight_is_the_likelihood_times_the_ratio_of_posteriors() -> None:
    model, x = iwae(7), images(5)
    q = model.posterior(x)
    noise = torch.randn(5, 7, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    _, log_weights = model.log_weights(x, q, noise)
    z = q.mu[:, None] + (0.5 * q.log_var).exp()[:, None] * noise
    true = true_posterior(model, x).log_prob(z.transpose(0, 1)).T
    mine = as_normal(q).log_prob(z.transpose(0, 1)).T
    expected = log_evidence(model, x)[:, None] + true - mine
    torch.testing.assert_close(log_weights, expected, rtol=0, atol=1e-9)
    assert log_weights.std(1).min() > 0.1


def test_with_the_true_posterior_each_weight_is_the_likelihood() -> None:
    model, x = iwae(7, encoder_error=0.0), images(5)
    noise = torch.randn(5, 7, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    _, log_weights = model.log_weights(x, model.posterior(x), noise)
    expected = log_evidence(model, x)[:, None].expand(-1, 7)
    torch.testing.assert_close(log_weights, expected, rtol=0, atol=1e-9)


def test_a_thousand_samples_come_within_a_hundredth_of_a_nat() -> None:
    model, x = iwae(1000, encoder_error=0.2), images(32)
    parts = model.evaluation_parts(Batch(x))
    exact = log_evidence(model, x).mean().item()
    assert parts["iwae"].item() == pytest.approx(exact, abs=0.01)
    assert parts["elbo"].item() < exact - 0.05
