"""The six GAN losses at given logits, their gradients, their extremes, and who pays whom."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ganvas.losses.adversarial import (
    AdversarialLoss,
    HingeLoss,
    LabelLoss,
    LeastSquaresLoss,
    MinimaxLoss,
    NonSaturatingLoss,
    RelativisticLoss,
    WassersteinLoss,
)

LOSSES = {
    "minimax": MinimaxLoss(),
    "non_saturating": NonSaturatingLoss(),
    "least_squares": LeastSquaresLoss(a=0.0, b=1.0, c=1.0),
    "wasserstein": WassersteinLoss(),
    "hinge": HingeLoss(),
    "relativistic": RelativisticLoss(),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
REAL = torch.tensor([-3.0, -0.5, 0.0, 2.0], dtype=torch.float64)
FAKE = torch.tensor([1.5, 0.0, -4.0, 0.2], dtype=torch.float64)


def log_d(logits: Tensor) -> Tensor:
    """log D."""
    return logsigmoid(logits)


def log_not_d(logits: Tensor) -> Tensor:
    """log(1 − D)."""
    return logsigmoid(-logits)


def clipped(values: Tensor) -> Tensor:
    """max(0, v), written without relu."""
    return torch.where(values > 0, values, torch.zeros_like(values))


Pair = Callable[[Tensor, Tensor], Tensor]
CRITIC: dict[str, Pair] = {
    "minimax": lambda real, fake: -0.5 * log_d(real) - 0.5 * log_not_d(fake),
    "non_saturating": lambda real, fake: -log_d(real) - log_not_d(fake),
    "least_squares": lambda real, fake: (real - 1) ** 2 / 2 + fake**2 / 2,
    "wasserstein": lambda real, fake: fake - real,
    "hinge": lambda real, fake: clipped(1 - real) + clipped(1 + fake),
    "relativistic": lambda real, fake: -log_d(real - fake),
}
GENERATOR: dict[str, Pair] = {
    "minimax": lambda real, fake: 0.5 * log_not_d(fake),
    "non_saturating": lambda real, fake: -log_d(fake),
    "least_squares": lambda real, fake: (fake - 1) ** 2 / 2,
    "wasserstein": lambda real, fake: -fake,
    "hinge": lambda real, fake: -fake,
    "relativistic": lambda real, fake: -log_d(fake - real),
}


def slopes(loss: Callable[..., Tensor], real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the sum of a loss at real and at fake logits."""
    logits = [real.clone().requires_grad_(), fake.clone().requires_grad_()]
    found = torch.autograd.grad(
        loss(*logits).sum(), logits, allow_unused=True, materialize_grads=True
    )
    return found[0], found[1]


@pytest.mark.parametrize("name", LOSSES)
def test_closed_forms(name: str) -> None:
    loss = LOSSES[name]
    torch.testing.assert_close(loss.critic(REAL, FAKE), CRITIC[name](REAL, FAKE))
    torch.testing.assert_close(loss.generator(REAL, FAKE), GENERATOR[name](REAL, FAKE))
    assert loss.critic(REAL, FAKE).shape == loss.generator(REAL, FAKE).shape == REAL.shape


SIGMOID_REAL, SIGMOID_FAKE = torch.sigmoid(REAL), torch.sigmoid(FAKE)
SLOPES = {
    "minimax": (0.5 * (SIGMOID_REAL - 1), 0.5 * SIGMOID_FAKE, -0.5 * SIGMOID_FAKE),
    "non_saturating": (SIGMOID_REAL - 1, SIGMOID_FAKE, SIGMOID_FAKE - 1),
    "least_squares": (REAL - 1, FAKE, FAKE - 1),
    "wasserstein": (-torch.ones(4), torch.ones(4), -torch.ones(4)),
    "hinge": (-(REAL < 1).double(), (FAKE > -1).double(), -torch.ones(4)),
    "relativistic": (
        -torch.sigmoid(FAKE - REAL),
        torch.sigmoid(FAKE - REAL),
        -torch.sigmoid(REAL - FAKE),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name: str) -> None:
    loss, (of_real, of_fake, of_generator) = LOSSES[name], SLOPES[name]
    got = (*slopes(loss.critic, REAL, FAKE), slopes(loss.generator, REAL, FAKE)[1])
    for slope, expected in zip(got, (of_real, of_fake, of_generator), strict=True):
        torch.testing.assert_close(slope, expected.double())


@every_loss
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_logits_stay_finite(loss: AdversarialLoss, extreme: float) -> None:
    real, fake = torch.tensor([extreme]), torch.tensor([-extreme])
    values = [loss.critic(real, fake), loss.generator(real, fake)]
    values += [*slopes(loss.critic, real, fake), *slopes(loss.generator, real, fake)]
    assert all(torch.isfinite(value).all() for value in values)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "relativistic"])
def test_a_lost_game_costs_as_much_as_its_logits(name: str) -> None:
    """Where log(sigmoid + ε) would end at log ε, and its gradient at 0."""
    loss, factor = LOSSES[name], 0.5 if name == "minimax" else 1.0
    real, fake = torch.tensor([-1e4]), torch.tensor([0.0])
    assert loss.critic(real, fake).item() == pytest.approx(factor * 1e4, rel=1e-4)
    torch.testing.assert_close(slopes(loss.critic, real, fake)[0], torch.tensor([-factor]))


@pytest.mark.parametrize(("name", "zero_sum"), [("minimax", True), ("wasserstein", True),
    ("non_saturating", False), ("least_squares", False), ("hinge", False),
    ("relativistic", False)])  # fmt: skip
def test_what_the_generator_gains_the_critic_loses(name: str, zero_sum: bool) -> None:
    """At the fakes, the gradients are opposite only in a zero-sum game."""
    loss = LOSSES[name]
    of_critic = slopes(loss.critic, REAL, FAKE)[1]
    of_generator = slopes(loss.generator, REAL, FAKE)[1]
    assert torch.equal(of_generator, -of_critic) == zero_sum
    if zero_sum:
        assert isinstance(loss, LabelLoss)
        torch.testing.assert_close(
            loss.generator(None, FAKE), loss.real(REAL) - loss.critic(REAL, FAKE)
        )


def test_the_relativistic_game_is_its_own_with_the_sides_exchanged() -> None:
    """And the logits that it compares grow and fall together for each pair, by as much."""
    loss = LOSSES["relativistic"]
    torch.testing.assert_close(loss.generator(REAL, FAKE), loss.critic(FAKE, REAL))
    of_real, of_fake = slopes(loss.critic, REAL, FAKE)
    assert torch.equal(of_real, -of_fake)
    of_real, of_fake = slopes(loss.generator, REAL, FAKE)
    assert torch.equal(of_real, -of_fake)


def test_the_relativistic_loss_pairs_image_i_with_image_i() -> None:
    loss = LOSSES["relativistic"]
    alone = torch.cat([loss.critic(REAL[i : i + 1], FAKE[i : i + 1]) for i in range(4)])
    assert torch.equal(loss.critic(REAL, FAKE), alone)
    assert not torch.allclose(loss.critic(REAL, FAKE.flip(0)).mean(), alone.mean())
    jacobian = torch.autograd.functional.jacobian(lambda fake: loss.critic(REAL, fake), FAKE)
    assert torch.equal(jacobian, torch.diag(jacobian.diagonal()))
    order = torch.tensor([1, 2, 3, 0])
    torch.testing.assert_close(loss.critic(REAL[order], FAKE[order]), alone[order])


def test_the_relativistic_generator_needs_real_logits() -> None:
    for name, loss in LOSSES.items():
        assert loss.compares == (name == "relativistic")
        if loss.compares:
            with pytest.raises(ValueError, match=r"^real_logits must be given"):
                loss.generator(None, FAKE)
        else:
            assert torch.equal(loss.generator(None, FAKE), loss.generator(REAL, FAKE))
            assert not slopes(loss.generator, REAL, FAKE)[0].any()


BOUNDARIES = {"minimax": 0.0, "non_saturating": 0.0, "least_squares": 0.5, "hinge": 0.0}
MIDDLE = ((-3.0 - 0.5 + 0.0 + 2.0) / 4 + (1.5 + 0.0 - 4.0 + 0.2) / 4) / 2


@pytest.mark.parametrize("name", LOSSES)
def test_the_boundary_between_real_and_fake(name: str) -> None:
    """Where a label is as cheap as the other; halfway between the means where none is."""
    loss = LOSSES[name]
    boundary = torch.as_tensor(loss.boundary(REAL, FAKE))
    assert boundary.item() == pytest.approx(BOUNDARIES.get(name, MIDDLE))
    if name in BOUNDARIES:
        assert isinstance(loss, LabelLoss)
        torch.testing.assert_close(loss.real(boundary), loss.fake(boundary))
    else:
        shifted = torch.as_tensor(loss.boundary(REAL + 7, FAKE + 7))
        torch.testing.assert_close(shifted, boundary + 7)
        torch.testing.assert_close(loss.critic(REAL + 7, FAKE + 7), loss.critic(REAL, FAKE))


def test_least_squares_with_other_labels() -> None:
    """b − c = 1 and b − a = 2: the pair of section 3.2."""
    loss = LeastSquaresLoss(a=-1.0, b=1.0, c=0.0)
    torch.testing.assert_close(
        loss.critic(REAL, FAKE), 0.5 * (REAL - 1) ** 2 + 0.5 * (FAKE + 1) ** 2
    )
    torch.testing.assert_close(loss.generator(None, FAKE), 0.5 * FAKE**2)
    assert loss.boundary(REAL, FAKE) == 0.0
    with pytest.raises(ValueError, match=r"b must differ from a, .*, got 2 for both"):
        LeastSquaresLoss(a=2, b=2, c=0)


def test_the_best_critic_of_least_squares() -> None:
    """D* = (b·p + a·q) / (p + q) minimises p · real(D) + q · fake(D) (Mao et al. 2017, eq. 5)."""
    loss, p, q = LeastSquaresLoss(a=-1.0, b=2.0, c=2.0), 0.3, 0.9
    best = torch.tensor([(2 * p - q) / (p + q)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((p * loss.real(best) + q * loss.fake(best)).sum(), best)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_the_best_critic_of_cross_entropy(name: str) -> None:
    """D* = p / (p + q) (Goodfellow et al. 2014, proposition 1): the logit is log(p / q)."""
    loss, p, q = LOSSES[name], 0.3, 0.9
    assert isinstance(loss, LabelLoss)
    best = torch.tensor([math.log(p / q)], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((p * loss.real(best) + q * loss.fake(best)).sum(), best)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "value"), [("minimax", 1.0), ("non_saturating", 2.0), ("relativistic", 1.0)]
)
def test_an_undecided_critic_pays_log_2_a_side(name: str, value: float) -> None:
    got = LOSSES[name].critic(torch.zeros(1), torch.zeros(1))
    assert got.item() == pytest.approx(value * math.log(2))


def test_the_hinge_is_flat_beyond_its_margin() -> None:
    of_real, of_fake = slopes(LOSSES["hinge"].critic, torch.tensor([1.5]), torch.tensor([-1.5]))
    assert (of_real.item(), of_fake.item()) == (0.0, 0.0)
    assert LOSSES["hinge"].critic(torch.tensor([1.5]), torch.tensor([-1.5])).item() == 0.0


def test_only_minimax_saturates_while_the_critic_wins() -> None:
    real, fake = torch.tensor([15.0]), torch.tensor([-15.0])
    for name, loss in LOSSES.items():
        slope = slopes(loss.generator, real, fake)[1].item()
        assert (slope > -1e-6) == (name == "minimax"), name
        assert slope < 0, name


@every_loss
def test_a_batch_may_be_cut_anywhere(loss: AdversarialLoss) -> None:
    halves = [loss.critic(REAL[:1], FAKE[:1]), loss.critic(REAL[1:], FAKE[1:])]
    torch.testing.assert_close(torch.cat(halves), loss.critic(REAL, FAKE))
    halves = [loss.generator(REAL[:3], FAKE[:3]), loss.generator(REAL[3:], FAKE[3:])]
    torch.testing.assert_close(torch.cat(halves), loss.generator(REAL, FAKE))
