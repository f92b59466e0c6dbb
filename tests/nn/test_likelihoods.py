"""Likelihoods against torch.distributions, and the optimal σ in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from ganvas.nn.likelihoods import BernoulliLikelihood, GaussianLikelihood

SHAPE = (6, 2, 5, 4)


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(SHAPE)


@pytest.fixture
def outputs() -> torch.Tensor:
    torch.manual_seed(1)
    return 3 * torch.randn(SHAPE)


def test_bernoulli_is_torchs_on_binary_pixels(images: torch.Tensor, outputs: torch.Tensor) -> None:
    binary = images.round()
    expected = Independent(Bernoulli(logits=outputs), 3).log_prob(binary)
    got = BernoulliLikelihood().log_prob(binary, outputs)
    assert got.shape == (6,)
    torch.testing.assert_close(got, expected)


def test_bernoulli_on_grey_pixels_is_linear_in_the_image(
    images: torch.Tensor, outputs: torch.Tensor
) -> None:
    likelihood = BernoulliLikelihood()
    black, white = torch.zeros_like(images), torch.ones_like(images)
    per_pixel = images * outputs.sigmoid().log() + (1 - images) * (-outputs).sigmoid().log()
    torch.testing.assert_close(
        likelihood.log_prob(images, outputs), per_pixel.flatten(1).sum(1), rtol=1e-5, atol=1e-4
    )
    middle = likelihood.log_prob(0.5 * (black + white), outputs)
    ends = likelihood.log_prob(black, outputs) + likelihood.log_prob(white, outputs)
    torch.testing.assert_close(middle, 0.5 * ends)


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_gaussian_is_torchs(
    images: torch.Tensor, outputs: torch.Tensor, sigma: float, learn: bool
) -> None:
    likelihood = GaussianLikelihood(sigma=sigma, learn_sigma=learn)
    expected = Independent(Normal(outputs.sigmoid(), sigma), 3).log_prob(images)
    torch.testing.assert_close(likelihood.log_prob(images, outputs).detach(), expected)


def test_gaussian_gradients_are_torchs(images: torch.Tensor, outputs: torch.Tensor) -> None:
    likelihood = GaussianLikelihood(sigma=0.3, learn_sigma=True)
    mine, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    log_sigma = torch.tensor(math.log(0.3), requires_grad=True)
    likelihood.log_prob(images, mine).sum().backward()
    Normal(theirs.sigmoid(), log_sigma.exp()).log_prob(images).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    torch.testing.assert_close(likelihood.log_sigma.grad, log_sigma.grad)


def test_the_best_sigma_is_the_residual_rms(images: torch.Tensor, outputs: torch.Tensor) -> None:
    rms = (images - outputs.sigmoid()).square().mean().sqrt().item()

    def slope(sigma: float) -> float:
        likelihood = GaussianLikelihood(sigma=sigma, learn_sigma=True)
        likelihood.log_prob(images, outputs).mean().backward()
        return float(likelihood.log_sigma.grad)

    assert slope(rms) == pytest.approx(0.0, abs=1e-3)
    assert slope(0.9 * rms) > 1.0
    assert slope(1.1 * rms) < -1.0


def test_only_a_learned_sigma_is_a_parameter_and_both_are_saved() -> None:
    fixed = GaussianLikelihood(sigma=0.5, learn_sigma=False)
    learned = GaussianLikelihood(sigma=0.5, learn_sigma=True)
    assert [name for name, _ in fixed.named_parameters()] == []
    assert [name for name, _ in learned.named_parameters()] == ["log_sigma"]
    torch.testing.assert_close(fixed.state_dict(), learned.state_dict())
    assert fixed.state_dict()["log_sigma"].item() == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("sigma", [0.0, -0.1])
def test_a_sigma_that_is_not_positive_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=f"sigma must be positive, got {sigma}"):
        GaussianLikelihood(sigma=sigma, learn_sigma=False)


@pytest.mark.parametrize(
    "likelihood", [BernoulliLikelihood(), GaussianLikelihood(sigma=0.1, learn_sigma=False)]
)
def test_the_mean_maximises_the_density_and_is_an_image(
    likelihood: BernoulliLikelihood | GaussianLikelihood, outputs: torch.Tensor
) -> None:
    mean = likelihood.mean(outputs)
    torch.testing.assert_close(mean, torch.special.expit(outputs))
    at_mean = likelihood.log_prob(mean, outputs)
    for change in (-0.2, 0.2):
        assert (at_mean > likelihood.log_prob(mean, outputs + change)).all()


@pytest.mark.parametrize(
    "likelihood", [BernoulliLikelihood(), GaussianLikelihood(sigma=0.1, learn_sigma=False)]
)
def test_a_batch_may_be_cut_anywhere(
    likelihood: BernoulliLikelihood | GaussianLikelihood,
    images: torch.Tensor,
    outputs: torch.Tensor,
) -> None:
    whole = likelihood.log_prob(images, outputs)
    parts = [likelihood.log_prob(images[i : i + 1], outputs[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=0)


def test_bernoulli_stays_finite_for_extreme_outputs() -> None:
    outputs = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2).requires_grad_()
    value = BernoulliLikelihood().log_prob(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), outputs)
    value.sum().backward()
    assert value.item() == pytest.approx(-2e4)
    assert torch.isfinite(outputs.grad).all()
