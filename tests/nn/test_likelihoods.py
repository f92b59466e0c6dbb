"""Likelihoods against torch.distributions, and the optimal σ in closed form."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, ContinuousBernoulli, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from ganvas.nn.likelihoods import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    Likelihood,
    OptimalSigmaLikelihood,
)

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
    "likelihood",
    [
        BernoulliLikelihood(),
        ContinuousBernoulliLikelihood(margin=1e-4),
        GaussianLikelihood(sigma=0.1, learn_sigma=False),
        OptimalSigmaLikelihood(min_sigma=0.01, decay=0.9).eval(),
        DiscretizedLogisticLikelihood(scale=0.1),
    ],
    ids=lambda likelihood: type(likelihood).__name__,
)
def test_a_batch_may_be_cut_anywhere(
    likelihood: Likelihood,
    images: torch.Tensor,
    outputs: torch.Tensor,
) -> None:
    whole = likelihood.log_prob(images, outputs)
    parts = [likelihood.log_prob(images[i : i + 1], outputs[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=1e-5)


def test_bernoulli_stays_finite_for_extreme_outputs() -> None:
    outputs = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2).requires_grad_()
    value = BernoulliLikelihood().log_prob(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), outputs)
    value.sum().backward()
    assert value.item() == pytest.approx(-2e4)
    assert torch.isfinite(outputs.grad).all()


def pixel(value: float | torch.Tensor, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One-pixel images of `value` and outputs `eta`, each `(N, 1, 1, 1)`."""
    return torch.as_tensor(value).expand(eta.shape).view(-1, 1, 1, 1), eta.view(-1, 1, 1, 1)


ETAS = [-60.0, -20.0, -3.0, -0.6, -0.499, -1e-3, 0.0, 1e-8, 0.3, 0.501, 2.0, 15.0, 40.0]


@pytest.mark.parametrize("eta", ETAS)
def test_continuous_bernoulli_is_normalised_and_its_mean_is_its_mean(eta: float) -> None:
    # Gauss-Legendre on 40 panels: exact to 1e-12 for these exponentials
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(12))
    edges = torch.arange(40, dtype=torch.float64)[:, None] / 40
    x = (edges + (nodes + 1) / 80).flatten()
    outputs = torch.full_like(x, eta)
    likelihood = ContinuousBernoulliLikelihood(margin=1e-4)
    mass = likelihood.log_prob(*pixel(x, outputs)).exp() * weights.repeat(40) / 80
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-8)
    assert likelihood.mean(outputs[0]).item() == pytest.approx((mass * x).sum().item(), abs=1e-8)
    logits = likelihood.logits(outputs)
    bare = (-binary_cross_entropy_with_logits(logits, x, reduction="none")).exp()
    assert (bare * weights.repeat(40) / 80).sum() < 0.97  # the cross-entropy alone is no density


def test_continuous_bernoulli_is_torchs_where_that_is_right() -> None:
    outputs = torch.cat([torch.linspace(-8, -0.1, 50), torch.linspace(0.1, 8, 50)]).double()
    likelihood = ContinuousBernoulliLikelihood(margin=1e-4)
    theirs = ContinuousBernoulli(logits=likelihood.logits(outputs))
    x = torch.full_like(outputs, 0.3)
    got = likelihood.log_prob(*pixel(x, outputs))
    torch.testing.assert_close(got, theirs.log_prob(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(likelihood.mean(outputs), theirs.mean, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_continuous_bernoulli_is_as_good_in_float32_near_zero_and_far_from_it(
    value: float,
) -> None:
    likelihood = ContinuousBernoulliLikelihood(margin=1e-30)  # limits of ±69
    points = torch.cat([torch.linspace(-1, 1, 801), torch.tensor([-1e4, -60, -17, 17, 60, 1e4])])

    def evaluated(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        outputs = points.to(dtype, copy=True).requires_grad_()
        got = likelihood.log_prob(*pixel(torch.tensor(value, dtype=dtype), outputs))
        mean = likelihood.mean(outputs)
        slope = torch.autograd.grad(got.sum(), outputs)[0]
        mean_slope = torch.autograd.grad(mean.sum(), outputs)[0]
        return tuple(t.detach().double() for t in (got, slope, mean, mean_slope))

    for single, double in zip(evaluated(torch.float32), evaluated(torch.float64), strict=True):
        assert torch.isfinite(single).all()
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-5)
    (at_zero,) = torch.autograd.grad(
        likelihood.mean(zero := torch.zeros((), requires_grad=True)), zero
    )
    assert at_zero.item() == pytest.approx(1 / 12)  # the variance of a uniform pixel


def test_continuous_bernoullis_slope_is_the_residual() -> None:
    likelihood = ContinuousBernoulliLikelihood(margin=1e-30)
    outputs = torch.linspace(-3, 3, 61).double().requires_grad_()
    x = torch.full_like(outputs, 0.7)
    likelihood.log_prob(*pixel(x, outputs)).sum().backward()
    expected = (x - likelihood.mean(outputs)) * (1 - (outputs / likelihood.limit).tanh().square())
    torch.testing.assert_close(outputs.grad, expected.detach())


def test_continuous_bernoullis_density_is_limited_by_the_margin() -> None:
    likelihood = ContinuousBernoulliLikelihood(margin=1e-4)
    for value, output in ((0.0, -1e4), (1.0, 1e4)):
        outputs = torch.full((1, 1, 1, 1), output)
        top = likelihood.log_prob(torch.full_like(outputs, value), outputs).exp().item()
        assert top == pytest.approx(math.log(9999) / (1 - 1 / 9999), rel=1e-5)
        assert likelihood.logits(outputs).abs().item() == pytest.approx(math.log(9999))


def test_the_optimal_sigma_is_that_of_the_batch(
    images: torch.Tensor, outputs: torch.Tensor
) -> None:
    likelihood = OptimalSigmaLikelihood(min_sigma=0.01, decay=0.99)
    variance = (images - outputs.sigmoid()).square().mean().item()
    got = likelihood.log_prob(images, outputs)
    assert got.shape == (6,)
    expected = -0.5 * 40 * (1 + math.log(2 * math.pi * variance))
    assert got.mean().item() == pytest.approx(expected, rel=1e-5)
    for factor in (0.9, 1.1):
        worse = GaussianLikelihood(sigma=factor * variance**0.5, learn_sigma=False)
        assert worse.log_prob(images, outputs).mean() < got.mean()
    assert likelihood.parts()["sigma"].item() == pytest.approx(variance**0.5, rel=1e-6)


def test_the_optimal_sigmas_gradient_is_that_of_the_fixed_one(
    images: torch.Tensor, outputs: torch.Tensor
) -> None:
    images, outputs = images.double(), outputs.double()
    rms = (images - outputs.sigmoid()).square().mean().sqrt().item()

    def gradient(likelihood: Likelihood) -> torch.Tensor:
        mine = outputs.clone().requires_grad_()
        likelihood.double().log_prob(images, mine).mean().backward()
        return mine.grad

    optimal = gradient(OptimalSigmaLikelihood(min_sigma=0.01, decay=0.9))
    torch.testing.assert_close(optimal, gradient(fixed(rms)), rtol=1e-6, atol=1e-9)
    assert (optimal - gradient(fixed(0.9 * rms))).abs().max() > 0.01 * optimal.abs().max()
    through = outputs.clone().requires_grad_()  # with the derivative of sigma itself
    (-0.5 * 40 * (images - through.sigmoid()).square().mean().log()).backward()
    torch.testing.assert_close(optimal, through.grad, rtol=1e-9, atol=1e-12)


def fixed(sigma: float) -> GaussianLikelihood:
    return GaussianLikelihood(sigma=sigma, learn_sigma=False)


def test_in_evaluation_sigma_is_the_running_one_and_stays() -> None:
    torch.manual_seed(0)
    likelihood = OptimalSigmaLikelihood(min_sigma=0.01, decay=0.75)
    batches = [(torch.rand(SHAPE), torch.randn(SHAPE)) for _ in range(7)]
    variances = []
    for x, outputs in batches:
        likelihood.log_prob(x, outputs)
        variances.append((x - outputs.sigmoid()).square().mean().item())
    running = variances[0]
    for count, variance in enumerate(variances[1:], start=2):  # a plain mean of the first four
        running += max(1 / count, 0.25) * (variance - running)
    assert likelihood.parts()["sigma"].item() == pytest.approx(running**0.5, rel=1e-5)
    before = {name: buffer.clone() for name, buffer in likelihood.state_dict().items()}
    likelihood.eval()
    x, outputs = batches[0]
    expected = fixed(running**0.5).log_prob(x, outputs)
    torch.testing.assert_close(likelihood.log_prob(x, outputs), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(likelihood.state_dict(), before, rtol=0, atol=0)
    loaded = OptimalSigmaLikelihood(min_sigma=0.01, decay=0.75).eval()
    assert not torch.allclose(loaded.log_prob(x, outputs), expected)
    loaded.load_state_dict(before)
    assert torch.equal(loaded.log_prob(x, outputs), likelihood.log_prob(x, outputs))
    likelihood.train().log_prob(x, outputs)
    assert likelihood.num_batches == 8


def test_ranks_share_one_sigma(
    images: torch.Tensor, outputs: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = OptimalSigmaLikelihood(min_sigma=0.01, decay=0.9)
    expected = whole.log_prob(images, outputs)
    errors = (images - outputs.sigmoid()).square().flatten(1).mean(1)
    both = torch.stack([errors[:3].mean(), errors[3:].mean()])
    monkeypatch.setattr("ganvas.nn.likelihoods.gathered", lambda mine: both * (mine > 0))
    halves = [OptimalSigmaLikelihood(min_sigma=0.01, decay=0.9) for _ in range(2)]
    got = [
        rank.log_prob(images[part], outputs[part])
        for rank, part in zip(halves, (slice(3), slice(3, 6)), strict=True)
    ]
    torch.testing.assert_close(torch.cat(got), expected)
    for rank in halves:
        torch.testing.assert_close(rank.state_dict(), whole.state_dict())


def test_a_perfect_reconstruction_meets_the_least_sigma() -> None:
    likelihood = OptimalSigmaLikelihood(min_sigma=0.01, decay=0.9)
    outputs = torch.zeros(2, 1, 2, 2, requires_grad=True)
    value = likelihood.log_prob(torch.full((2, 1, 2, 2), 0.5), outputs)
    assert value[0].item() == pytest.approx(-4 * (math.log(0.01) + 0.5 * math.log(2 * math.pi)))
    value.sum().backward()
    assert torch.equal(outputs.grad, torch.zeros_like(outputs))


LEVELS = torch.arange(256).double() / 255


@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.1, 3.0])
@pytest.mark.parametrize("output", [-30.0, -1.0, -0.8, 0.1, 0.7, 1.2])
def test_discretised_logistic_is_a_distribution_over_256_values(
    output: float, scale: float
) -> None:
    likelihood = DiscretizedLogisticLikelihood(scale=scale).double()
    x = LEVELS.view(-1, 1, 1, 1)
    outputs = torch.full_like(x, output)
    log_probs = likelihood.log_prob(x, outputs)
    assert log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    if scale < 0.05:  # else black and white, who take the tails, may be likelier than the centre
        assert log_probs.argmax().item() == round(255 * likelihood.mean(outputs[0]).item())


def test_discretised_logistic_is_the_difference_of_two_sigmoids() -> None:
    likelihood = DiscretizedLogisticLikelihood(scale=0.05).double()
    x = LEVELS[1:-1].view(-1, 1, 1, 1)
    outputs = torch.linspace(-1, 1, 254).double().view(-1, 1, 1, 1)
    below, above = (20 * (x - (outputs + 1) / 2 + s / 510) for s in (-1, 1))
    expected = (above.sigmoid() - below.sigmoid()).log().flatten()
    torch.testing.assert_close(likelihood.log_prob(x, outputs), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("log_scale", [-20.0, -8.0, 0.0, 20.0])
def test_discretised_logistic_stays_finite_at_extremes(log_scale: float) -> None:
    likelihood = DiscretizedLogisticLikelihood(scale=math.exp(log_scale))
    x = torch.tensor([0.0, 1 / 255, 0.5, 1.0]).repeat(4).view(1, 1, 4, 4)
    outputs = torch.tensor([-1e4, 1e4, -3.0, 0.0]).repeat_interleave(4).view(1, 1, 4, 4)
    outputs.requires_grad_()
    value = likelihood.log_prob(x, outputs)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(outputs.grad).all()
    assert torch.isfinite(likelihood.log_scale.grad)


def test_discretised_logistic_learns_its_scale() -> None:
    likelihood = DiscretizedLogisticLikelihood(scale=0.2)
    assert [name for name, _ in likelihood.named_parameters()] == ["log_scale"]
    assert likelihood.parts()["scale"].item() == pytest.approx(0.2)
    outputs = torch.zeros(1, 1, 8, 8)
    likelihood.log_prob(torch.full((1, 1, 8, 8), 128 / 255), outputs).sum().backward()
    assert likelihood.log_scale.grad < 0  # narrower is better for a pixel that is met
    means = likelihood.mean(torch.tensor([-5.0, -1.0, 0.0, 0.5, 1.0, 2.0]))
    assert means.tolist() == [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (OptimalSigmaLikelihood, {"min_sigma": 0, "decay": 0.9}, "min_sigma must be positive"),
        (OptimalSigmaLikelihood, {"min_sigma": 0.1, "decay": 1.0}, "decay must be at least 0 and"),
        (OptimalSigmaLikelihood, {"min_sigma": 0.1, "decay": -0.1}, "below 1, got -0.1"),
        (ContinuousBernoulliLikelihood, {"margin": 0.5}, "margin must be between 0 and 0.5, got"),
        (DiscretizedLogisticLikelihood, {"scale": 0.0}, "scale must be positive, got 0.0"),
    ],
)
def test_impossible_values_are_refused(
    kind: type[Likelihood], values: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**values)


@pytest.mark.parametrize(
    "kind",
    [
        partial(ContinuousBernoulliLikelihood, margin=1e-4),
        partial(OptimalSigmaLikelihood, min_sigma=0.01, decay=0.9),
        partial(DiscretizedLogisticLikelihood, scale=0.1),
    ],
)
def test_the_meta_device_and_half_precision_outputs_will_do(
    kind: type[Likelihood], images: torch.Tensor, outputs: torch.Tensor
) -> None:
    with torch.device("meta"):
        likelihood = kind()
        for mode in (True, False):
            value = likelihood.train(mode).log_prob(torch.empty(SHAPE), torch.empty(SHAPE))
            assert value.shape == (6,)
        assert likelihood.mean(torch.empty(SHAPE)).shape == SHAPE
    half = outputs.to(torch.bfloat16)
    got, exact = kind().log_prob(images, half), kind().log_prob(images, half.float())
    assert got.dtype == torch.float32
    assert torch.equal(got, exact)
    means = [kind().mean(values).float() for values in (half, half.float())]
    torch.testing.assert_close(*means, rtol=0, atol=2**-8)  # bfloat16's own rounding
