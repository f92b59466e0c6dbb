"""Covariances of the codes against numpy and against samples; both penalties written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_outputs import drawn_outputs, elbo_terms, normal, part_of

from ganvas.losses.dip import DIPLoss, aggregate_covariance, covariance
from ganvas.losses.elbo import VAEOutputs
from ganvas.types import GaussianPosterior


def dip(variant: str, *, off_diagonal: float = 10.0, diagonal: float = 100.0) -> DIPLoss:
    return DIPLoss(variant=variant, lambda_offdiagonal=off_diagonal, lambda_diagonal=diagonal)


def test_the_covariance_is_numpys_with_divisor_b() -> None:
    x = normal(9, 4, seed=0) + 3.0
    got = covariance(x).numpy()
    np.testing.assert_allclose(got, np.cov(x.numpy().T, bias=True), rtol=1e-12)
    assert not np.allclose(got, np.cov(x.numpy().T), rtol=1e-3)  # divisor B − 1


def test_the_aggregates_covariance_is_that_of_its_mixture() -> None:
    """E[z zᵀ] − E[z] E[z]ᵀ of 1/B Σ_i N(mu_i, diag exp log_var_i), component by component."""
    posterior = drawn_outputs(5, 3).posterior
    mean = posterior.mu.mean(0)
    second = torch.zeros(3, 3, dtype=torch.float64)
    for mu, log_var in zip(posterior.mu, posterior.log_var, strict=True):
        second += (torch.diag(log_var.exp()) + torch.outer(mu, mu)) / 5
    expected = second - torch.outer(mean, mean)
    torch.testing.assert_close(aggregate_covariance(posterior), expected)
    assert not torch.allclose(covariance(posterior.mu), expected)


def test_it_is_the_law_of_total_covariance_in_samples() -> None:
    posterior = drawn_outputs(6, 2).posterior
    num = 40_000
    z = posterior.mu + (0.5 * posterior.log_var).exp() * normal(num, 6, 2, seed=5)
    expected = covariance(z.flatten(0, 1))
    torch.testing.assert_close(aggregate_covariance(posterior), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("variant", ["I", "II"])
def test_it_is_the_elbo_and_a_double_loop(variant: str) -> None:
    outputs = drawn_outputs()
    posterior = outputs.posterior
    cov = np.cov(posterior.mu.numpy().T, bias=True)
    if variant == "II":
        cov = cov + np.diag(posterior.log_var.exp().mean(0).numpy())
    off_diagonal = sum(cov[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    diagonal = sum((cov[i, i] - 1) ** 2 for i in range(3))
    got = dip(variant, off_diagonal=3.0, diagonal=7.0)(outputs, step=0)
    assert got.parts["dip_offdiagonal"].item() == pytest.approx(off_diagonal)
    assert got.parts["dip_diagonal"].item() == pytest.approx(diagonal)
    expected = elbo_terms(outputs).total.item() + 3.0 * off_diagonal + 7.0 * diagonal
    assert got.total.item() == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["I", "II"])
def test_no_weights_is_the_elbo(variant: str) -> None:
    outputs = drawn_outputs()
    got = dip(variant, off_diagonal=0.0, diagonal=0.0)(outputs, step=0)
    assert torch.equal(got.total, elbo_terms(outputs).total)
    assert got.parts["dip_diagonal"] > 0
    assert got.parts["dip_offdiagonal"] > 0


def posterior_outputs(mu: torch.Tensor, variance: float) -> VAEOutputs:
    posterior = GaussianPosterior(mu, torch.full_like(mu, variance).log())
    zeros = torch.zeros(len(mu), dtype=mu.dtype)
    return VAEOutputs(posterior, mu, zeros, zeros, lambda: torch.zeros_like(mu))


def test_each_variant_is_zero_where_its_own_covariance_is_the_identity() -> None:
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    for variant, scale, other in (("I", 1.0, "II"), ("II", 0.75**0.5, "I")):
        outputs = posterior_outputs(scale * corners, variance=0.25)
        mine, theirs = (dip(v)(outputs, step=0).parts for v in (variant, other))
        assert mine["dip_diagonal"].item() == pytest.approx(0.0, abs=1e-12)
        assert mine["dip_offdiagonal"].item() == pytest.approx(0.0, abs=1e-12)
        assert theirs["dip_diagonal"].item() == pytest.approx(2 * 0.25**2)


def test_correlated_codes_pay_off_the_diagonal() -> None:
    same = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    parts = dip("I")(posterior_outputs(same, variance=0.25), step=0).parts
    assert parts["dip_offdiagonal"].item() == pytest.approx(2.0)
    assert parts["dip_diagonal"].item() == pytest.approx(0.0)


def test_the_penalties_belong_to_the_batch() -> None:
    outputs = drawn_outputs()
    halves = [dip("II")(part_of(outputs, p), step=0).total for p in (slice(0, 3), slice(3, 6))]
    assert (sum(halves) / 2 - dip("II")(outputs, step=0).total).abs() > 0.01


def test_a_single_image_has_no_covariance() -> None:
    parts = dip("I")(drawn_outputs(1), step=0).parts
    assert parts["dip_offdiagonal"].item() == 0.0
    assert parts["dip_diagonal"].item() == 3.0


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="variant must be I or II, got III"):
        dip("III")
    with pytest.raises(ValueError, match="lambda_offdiagonal must be at least 0, got -1"):
        dip("I", off_diagonal=-1)
    with pytest.raises(ValueError, match="lambda_diagonal must be at least 0, got -2"):
        dip("I", diagonal=-2)
