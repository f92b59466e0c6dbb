"""Active units by hand; the parts of the rate against distributions of which they are known."""

from __future__ import annotations

import math

import pytest
import torch

from ganvas.losses.divergences import standard_normal_kl_per_dim
from ganvas.losses.total_correlation import rate_parts
from ganvas.metrics import information
from ganvas.metrics.information import active_units, information_parts
from ganvas.types import GaussianPosterior
from metrics.test_mig import noise


def posterior(mu: torch.Tensor, variance: float | torch.Tensor) -> GaussianPosterior:
    return GaussianPosterior(mu, (torch.zeros_like(mu) + variance).log())


def test_active_units_by_hand() -> None:
    means = torch.tensor([[0.0, 5.0, 0.0, 0.25], [0.2, 5.0, 0.3, 0.0]])  # 0.01, 0, 0.0225, 0.015625
    assert active_units(means, threshold=0.01 + 1e-8) == 2
    assert active_units(means, threshold=0.0099) == 3
    assert active_units(means, threshold=0.02) == 1
    assert active_units(means, threshold=0.0225 + 1e-8) == 0


def test_kl_per_dimension_is_torchs() -> None:
    q = GaussianPosterior(noise(20, 3), noise(20, 3, seed=1))
    normal = torch.distributions.Normal(q.mu, (q.log_var / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(20, 3).double(), torch.ones(20, 3).double())
    torch.testing.assert_close(
        standard_normal_kl_per_dim(q), torch.distributions.kl_divergence(normal, prior)
    )


def test_posteriors_that_are_the_prior_know_nothing() -> None:
    q = posterior(torch.zeros(50, 3).double(), 1.0)
    parts = information_parts(noise(50, 3), q)
    for part in (parts.mutual_information, parts.total_correlation, parts.dimension_wise_kl):
        torch.testing.assert_close(part, torch.zeros(50).double(), atol=1e-13, rtol=0)


def test_posteriors_far_apart_know_which_image_it_is() -> None:
    num = 64
    q = posterior(100.0 * torch.arange(num).double()[:, None].repeat(1, 2), 1.0)
    parts = information_parts(q.sample(noise(num, 2)), q)
    cap = torch.full((num,), math.log(num), dtype=torch.float64)
    torch.testing.assert_close(parts.mutual_information, cap)
    # each of two equal dimensions tells all: their total correlation is log N, too
    torch.testing.assert_close(parts.total_correlation, cap)


def test_the_cap_is_never_exceeded() -> None:
    q = posterior(2 * noise(40, 3), 0.5)
    parts = information_parts(q.sample(noise(40, 3, seed=1)), q)
    assert (parts.mutual_information <= math.log(40)).all()
    assert 1 < parts.mutual_information.mean() < math.log(40) - 0.1


def test_memory_chunks_and_the_loss_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    q = GaussianPosterior(noise(30, 4), noise(30, 4, seed=1))
    z = q.sample(noise(30, 4, seed=2))
    every_pair = torch.full((30, 30), -math.log(30), dtype=torch.float64)
    expected = rate_parts(z, q, every_pair)
    for at_once in (1, 7 * 120, 2**20):
        monkeypatch.setattr(information, "_VALUES_AT_ONCE", at_once)
        found = information_parts(z, q)
        for name in ("mutual_information", "total_correlation", "dimension_wise_kl"):
            torch.testing.assert_close(
                getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12
            )


def test_the_parts_add_up_to_the_rate() -> None:
    q = GaussianPosterior(noise(2000, 3), noise(2000, 3, seed=1) - 1)
    z = q.sample(noise(2000, 3, seed=2))
    parts = information_parts(z, q)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise_kl
    prior = posterior(torch.zeros_like(z), 1.0)
    torch.testing.assert_close(total, q.log_prob(z) - prior.log_prob(z), rtol=1e-10, atol=1e-10)
    exact = standard_normal_kl_per_dim(q).sum(1)
    error = (total - exact).std() / math.sqrt(2000)
    assert abs(total.mean() - exact.mean()) < 4 * error


def correlated(rho: float, *, num: int, variance: float, seed: int) -> information.RateParts:
    """Codes of two dimensions whose aggregate is N(0, [[1, ρ], [ρ, 1]])."""
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]]).double() - variance * torch.eye(2).double()
    mu = noise(num, 2, seed=seed) @ torch.linalg.cholesky(covariance).T
    q = posterior(mu, variance)
    return information_parts(q.sample(noise(num, 2, seed=seed + 1000)), q)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_gaussian_codes_in_closed_form(rho: float) -> None:
    num, variance = 1500, 0.1
    parts = correlated(rho, num=num, variance=variance, seed=0)
    det = 1 - rho**2
    expected = {
        "mutual_information": 0.5 * math.log(det / variance**2),
        "total_correlation": -0.5 * math.log(det),
        "dimension_wise_kl": 0.0,
    }
    # a code's own posterior is in the mixture: about 1/N of its mean density, times the number
    # of posteriors that would fill the aggregate
    bias = math.sqrt(det) / variance / num
    for name, value in expected.items():
        part = getattr(parts, name)
        error = part.std().item() / math.sqrt(num)
        assert abs(part.mean().item() - value) < 4 * error + bias, name
        assert error < 0.05


def test_standard_errors_tell_the_spread_of_repetitions() -> None:
    runs = [correlated(0.6, num=400, variance=0.3, seed=seed) for seed in range(60)]
    for name in ("mutual_information", "total_correlation"):
        means = torch.stack([getattr(run, name).mean() for run in runs])
        errors = torch.stack([getattr(run, name).std() / math.sqrt(400) for run in runs])
        # the spread of 60 values is known to about 9 %
        assert means.std().item() == pytest.approx(errors.mean().item(), rel=0.3)


def test_codes_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one code for each posterior"):
        information_parts(noise(3, 2), posterior(noise(4, 2), 1.0))
