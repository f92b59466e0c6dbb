"""The floor under each dimension's rate, and that reports stay true."""

from __future__ import annotations

import pytest
import torch
from drawn_outputs import drawn_outputs, elbo_terms, part_of

from ganvas.losses.divergences import standard_normal_kl, standard_normal_kl_per_dim
from ganvas.losses.elbo import VAEOutputs
from ganvas.losses.free_bits import FreeBitsLoss
from ganvas.types import GaussianPosterior


def test_the_rate_of_all_dimensions_is_the_sum_of_theirs_to_the_bit() -> None:
    posterior = drawn_outputs(40, 20, dtype=torch.float32).posterior
    mu, log_var = posterior.mu, posterior.log_var
    each = standard_normal_kl_per_dim(posterior)
    assert each.shape == (40, 20)
    assert torch.equal(standard_normal_kl(posterior), each.sum(1))
    written_out = 0.5 * (mu.square() + log_var.exp() - 1.0 - log_var).sum(1)
    assert torch.equal(standard_normal_kl(posterior), written_out)


def test_no_free_bits_is_the_elbo() -> None:
    outputs = drawn_outputs()
    got = FreeBitsLoss(free_bits=0.0)(outputs, step=3)
    torch.testing.assert_close(got.total, elbo_terms(outputs).total, rtol=1e-12, atol=0)
    some = FreeBitsLoss(free_bits=2.0)(outputs, step=3)
    assert some.total > got.total


def test_it_is_a_loop_over_dimensions() -> None:
    outputs = drawn_outputs()
    means = standard_normal_kl_per_dim(outputs.posterior).mean(0).tolist()
    floor = sorted(means)[1]  # one dimension below, one above
    got = FreeBitsLoss(free_bits=floor)(outputs, step=0)
    expected = sum(max(floor, mean) for mean in means)
    assert got.parts["floored_rate"].item() == pytest.approx(expected, rel=1e-12)
    assert (got.total - got.parts["distortion"]).item() == pytest.approx(expected, rel=1e-12)
    assert expected > sum(means)


def test_reports_hold_the_true_rate() -> None:
    outputs = drawn_outputs()
    got, plain = FreeBitsLoss(free_bits=9.0)(outputs, step=0).parts, elbo_terms(outputs).parts
    assert got["floored_rate"].item() == 27.0
    for name in ("distortion", "rate", "elbo"):
        assert torch.equal(got[name], plain[name])


def test_only_dimensions_above_the_floor_feel_it() -> None:
    mu = torch.tensor([[0.1, 3.0]], dtype=torch.float64, requires_grad=True)
    posterior = GaussianPosterior(mu, torch.zeros(1, 2, dtype=torch.float64))
    outputs = VAEOutputs(
        posterior, mu, torch.zeros(1), standard_normal_kl(posterior), lambda: torch.zeros(1, 2)
    )
    FreeBitsLoss(free_bits=0.5)(outputs, step=0).total.backward()
    assert mu.grad is not None
    assert mu.grad.tolist() == [[0.0, 3.0]]


def test_the_floor_is_under_the_batch_mean_so_cuts_matter() -> None:
    outputs = drawn_outputs()
    means = standard_normal_kl_per_dim(outputs.posterior).mean(0)
    loss = FreeBitsLoss(free_bits=means.median().item())
    halves = [loss(part_of(outputs, p), step=0).total for p in (slice(0, 3), slice(3, 6))]
    whole = loss(outputs, step=0).total
    assert sum(halves) / 2 > whole  # a maximum is convex
    none = FreeBitsLoss(free_bits=0.0)
    halves = [none(part_of(outputs, p), step=0).total for p in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(sum(halves) / 2, none(outputs, step=0).total)


def test_a_negative_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="free_bits must be at least 0 nats per dimension, got -1"):
        FreeBitsLoss(free_bits=-1)
