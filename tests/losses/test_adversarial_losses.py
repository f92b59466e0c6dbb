"""Both GAN losses at given logits, their gradients' signs, and their extremes."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from ganvas.losses.adversarial import AdversarialLoss, MinimaxLoss, NonSaturatingLoss

LOSSES = [MinimaxLoss(), NonSaturatingLoss()]
REAL = torch.tensor([-3.0, -0.5, 0.0, 2.0])
FAKE = torch.tensor([1.5, 0.0, -4.0, 0.2])


def log_d(logits: torch.Tensor) -> torch.Tensor:
    """log D."""
    return logsigmoid(logits)


def log_not_d(logits: torch.Tensor) -> torch.Tensor:
    """log(1 − D)."""
    return logsigmoid(-logits)


def test_minimax_is_equation_1() -> None:
    loss = MinimaxLoss()
    torch.testing.assert_close(loss.critic(REAL, FAKE), -0.5 * (log_d(REAL) + log_not_d(FAKE)))
    torch.testing.assert_close(loss.generator(None, FAKE), 0.5 * log_not_d(FAKE))


def test_non_saturating_is_section_3() -> None:
    loss = NonSaturatingLoss()
    torch.testing.assert_close(loss.critic(REAL, FAKE), -(log_d(REAL) + log_not_d(FAKE)))
    torch.testing.assert_close(loss.generator(None, FAKE), -log_d(FAKE))


def test_the_minimax_game_is_zero_sum_in_the_fakes() -> None:
    loss = MinimaxLoss()
    fake_part = loss.critic(REAL, FAKE) - 0.5 * -log_d(REAL)
    torch.testing.assert_close(loss.generator(None, FAKE), -fake_part)
    fake = FAKE.clone().requires_grad_()
    (of_critic,) = torch.autograd.grad(loss.critic(REAL, fake).sum(), fake)
    (of_generator,) = torch.autograd.grad(loss.generator(None, fake).sum(), fake)
    assert torch.equal(of_generator, -of_critic)


@pytest.mark.parametrize(("loss", "value"), [(MinimaxLoss(), 1.0), (NonSaturatingLoss(), 2.0)])
def test_an_undecided_critic_pays_log_2_a_side(loss: AdversarialLoss, value: float) -> None:
    got = loss.critic(torch.zeros(1), torch.zeros(1))
    assert got.item() == pytest.approx(value * math.log(2))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_signs(loss: AdversarialLoss) -> None:
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss.critic(real, fake).sum().backward()
    assert (real.grad < 0).all()  # a step down the gradient raises the real logits
    assert (fake.grad > 0).all()  # and lowers the fake ones
    fake.grad = None
    loss.generator(None, fake).sum().backward()
    assert (fake.grad < 0).all()  # the generator wants them up


def test_only_minimax_saturates_while_the_critic_wins() -> None:
    slopes = []
    for loss in LOSSES:
        fake = torch.tensor([-15.0], requires_grad=True)
        loss.generator(None, fake).backward()
        slopes.append(abs(fake.grad.item()))
    assert slopes[0] < 1e-6
    assert slopes[1] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_extreme_logits_stay_finite(loss: AdversarialLoss, extreme: float) -> None:
    real = torch.tensor([extreme], requires_grad=True)
    fake = torch.tensor([-extreme], requires_grad=True)
    total = loss.critic(real, fake) + loss.generator(None, fake)
    total.backward()
    for value in (total, real.grad, fake.grad):
        assert torch.isfinite(value).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_may_be_cut_anywhere(loss: AdversarialLoss) -> None:
    halves = [loss.critic(REAL[:1], FAKE[:1]), loss.critic(REAL[1:], FAKE[1:])]
    torch.testing.assert_close(torch.cat(halves), loss.critic(REAL, FAKE))
    halves = [loss.generator(None, FAKE[:3]), loss.generator(None, FAKE[3:])]
    torch.testing.assert_close(torch.cat(halves), loss.generator(None, FAKE))
