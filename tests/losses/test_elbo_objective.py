"""The VAE's objective: β is in it, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from ganvas.losses.divergences import standard_normal_kl
from ganvas.losses.elbo import ElboLoss, VAEOutputs
from ganvas.schedules import CyclicalSchedule, LinearSchedule, as_schedule
from ganvas.types import GaussianPosterior, LossTerms


def outputs(batch: int = 6) -> VAEOutputs:
    torch.manual_seed(0)
    posterior = GaussianPosterior(torch.randn(batch, 3), torch.randn(batch, 3))
    return vae_outputs(posterior, -50 * torch.rand(batch))


def vae_outputs(posterior: GaussianPosterior, log_likelihood: torch.Tensor) -> VAEOutputs:
    """What a VAE gives with z at the mean."""
    return VAEOutputs(
        posterior,
        posterior.mu,
        log_likelihood,
        rate=standard_normal_kl(posterior),
        draw_prior=lambda: torch.randn_like(posterior.mu),
    )


def terms(beta: object, *, step: int = 0) -> LossTerms:
    return ElboLoss(beta=beta, reconstruction_weight=1.0)(outputs(), step=step)


def test_beta_one_is_minus_the_elbo_to_the_bit() -> None:
    got = terms(1.0)
    assert torch.equal(got.total, -got.parts["elbo"])
    assert torch.equal(got.parts["elbo"], -got.parts["distortion"] - got.parts["rate"])


def test_distortion_and_rate_are_batch_means() -> None:
    given, got = outputs(), terms(1.0)
    torch.testing.assert_close(got.parts["distortion"], -given.log_likelihood.mean())
    torch.testing.assert_close(got.parts["rate"], standard_normal_kl(given.posterior).mean())


@pytest.mark.parametrize(
    "beta",
    [
        0.0,
        4.0,
        LinearSchedule(start=0, end=1, steps=10),
        CyclicalSchedule(start=0, end=2, period=8),
    ],
    ids=str,
)
def test_beta_is_in_the_objective_and_in_its_own_part_alone(beta: object) -> None:
    plain = terms(1.0).parts
    for step in (0, 3, 7, 10, 11):
        got = terms(beta, step=step)
        value = as_schedule(beta)(step)
        torch.testing.assert_close(got.total, plain["distortion"] + value * plain["rate"])
        assert got.parts["beta"].item() == pytest.approx(value)
        for name in ("distortion", "rate", "elbo"):
            assert torch.equal(got.parts[name], plain[name])


def test_the_objective_is_linear_in_beta_with_the_rate_as_slope() -> None:
    low, high = terms(2.0), terms(5.0)
    torch.testing.assert_close(high.total - low.total, 3 * low.parts["rate"])


def test_a_negative_beta_is_refused() -> None:
    with pytest.raises(ValueError, match=r"beta must be at least 0, got -0\.5"):
        ElboLoss(beta=-0.5, reconstruction_weight=1.0)


def test_means_over_parts_of_a_batch_add_up_to_the_whole() -> None:
    whole = outputs()
    cuts = []
    for part in (slice(0, 2), slice(2, 6)):
        posterior = GaussianPosterior(whole.posterior.mu[part], whole.posterior.log_var[part])
        cut = vae_outputs(posterior, whole.log_likelihood[part])
        cuts.append(ElboLoss(beta=3.0, reconstruction_weight=1.0)(cut, step=0).total)
    torch.testing.assert_close((2 * cuts[0] + 4 * cuts[1]) / 6, terms(3.0).total)


@pytest.mark.parametrize(("weight", "beta"), [(1.0, 0.0), (0.0, 1.0), (0.5, 3.0)])
def test_each_term_can_be_trained_alone(weight: float, beta: float) -> None:
    got = ElboLoss(beta=beta, reconstruction_weight=weight)(outputs(), step=0)
    expected = weight * got.parts["distortion"] + beta * got.parts["rate"]
    torch.testing.assert_close(got.total, expected)
    assert torch.equal(got.parts["elbo"], terms(1.0).parts["elbo"])


def test_a_negative_reconstruction_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reconstruction_weight must be at least 0, got -1"):
        ElboLoss(beta=1.0, reconstruction_weight=-1.0)
