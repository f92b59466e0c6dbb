"""The KL term against torch.distributions and against Monte Carlo."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal, kl_divergence

from ganvas.losses.divergences import standard_normal_kl
from ganvas.types import GaussianPosterior


def posterior() -> GaussianPosterior:
    torch.manual_seed(0)
    return GaussianPosterior(torch.randn(7, 5), torch.randn(7, 5))


def test_it_is_torchs() -> None:
    q = posterior()
    mine = Independent(Normal(q.mu, (0.5 * q.log_var).exp()), 1)
    prior = Independent(Normal(torch.zeros(7, 5), torch.ones(7, 5)), 1)
    got = standard_normal_kl(q)
    assert got.shape == (7,)
    torch.testing.assert_close(got, kl_divergence(mine, prior))


def test_its_gradients_are_the_closed_ones() -> None:
    q = posterior()
    mu, log_var = q.mu.requires_grad_(), q.log_var.requires_grad_()
    standard_normal_kl(q).sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())
    torch.testing.assert_close(log_var.grad, 0.5 * (log_var.detach().exp() - 1))


def test_it_is_the_mean_log_ratio_of_its_own_samples() -> None:
    q = posterior()
    num = 40_000
    noise = torch.randn(num, 7, 5, generator=torch.Generator().manual_seed(1))
    z = q.sample(noise)
    log_q = Normal(q.mu, (0.5 * q.log_var).exp()).log_prob(z).sum(2)
    log_p = Normal(0.0, 1.0).log_prob(z).sum(2)
    ratio = (log_q - log_p).double()
    standard_error = ratio.std(0) / num**0.5
    distance = (ratio.mean(0) - standard_normal_kl(q).double()).abs()
    assert (distance < 5 * standard_error).all()
    assert standard_error.max() < 0.2


def test_it_is_zero_for_the_prior_and_only_there() -> None:
    prior = GaussianPosterior(torch.zeros(1, 4), torch.zeros(1, 4))
    assert standard_normal_kl(prior).item() == 0.0
    for change in (-0.1, 0.1):
        moved = GaussianPosterior(prior.mu + change, prior.log_var)
        widened = GaussianPosterior(prior.mu, prior.log_var + change)
        assert standard_normal_kl(moved) > 0
        assert standard_normal_kl(widened) > 0


def test_samples_have_the_posteriors_moments() -> None:
    q = GaussianPosterior(torch.tensor([[2.0, -1.0]]), torch.tensor([[0.0, 4.0]]).log1p())
    z = q.sample(torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(z.mean(0), q.mu[0], rtol=0, atol=0.04)
    torch.testing.assert_close(z.var(0), torch.tensor([1.0, 5.0]), rtol=0.03, atol=0)
