"""Labels of real and fake: soft labels are cross-entropy, hard ones the bare loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ganvas.losses.adversarial import (
    HingeLoss,
    LabelLoss,
    LeastSquaresLoss,
    MinimaxLoss,
    NonSaturatingLoss,
    RelativisticLoss,
    WassersteinLoss,
)
from ganvas.losses.labels import Labels

NUM = 512
LOSSES = [
    MinimaxLoss(),
    NonSaturatingLoss(),
    LeastSquaresLoss(a=-1.0, b=2.0, c=2.0),
    WassersteinLoss(),
    HingeLoss(),
]


def drawn(*size: int, seed: int) -> Tensor:
    """Uniform draws, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*size, generator=generator, dtype=torch.float64)


REAL, FAKE = 8 * drawn(NUM, seed=1) - 4, 8 * drawn(NUM, seed=2) - 4
DRAWS = drawn(NUM, 4, seed=3)


@pytest.mark.parametrize("labels", [Labels(smoothing=0.1), Labels(noise=0.3), Labels(flips=0.2),
    Labels(smoothing=0.2, noise=0.5, flips=0.1)])  # fmt: skip
@pytest.mark.parametrize(("loss", "factor"), [(NonSaturatingLoss(), 1.0), (MinimaxLoss(), 0.5)])
def test_soft_labels_are_cross_entropy(labels: Labels, loss: LabelLoss, factor: float) -> None:
    of_real, of_fake = labels.targets(DRAWS)
    expected = cross_entropy(REAL, of_real, reduction="none")
    expected = expected + cross_entropy(FAKE, of_fake, reduction="none")
    got = labels.critic_loss(loss, REAL, FAKE, DRAWS)
    torch.testing.assert_close(got, factor * expected)
    assert not torch.allclose(got, loss.critic(REAL, FAKE))


def test_smoothing_is_one_sided() -> None:
    of_real, of_fake = Labels(smoothing=0.1).targets(DRAWS)
    torch.testing.assert_close(of_real, torch.full_like(of_real, 0.9))
    assert not of_fake.any()


def test_soft_labels_of_least_squares_have_the_gradient_of_a_soft_distance() -> None:
    """t · ½ (D − b)² + (1 − t) · ½ (D − a)² and ½ (D − (t·b + (1 − t)·a))² differ by a constant."""
    labels, loss = Labels(smoothing=0.2, noise=0.5, flips=0.1), LOSSES[2]
    logits = [REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()]
    got = torch.autograd.grad(labels.critic_loss(loss, *logits, DRAWS).sum(), logits)
    for slope, logit, target in zip(got, logits, labels.targets(DRAWS), strict=True):
        torch.testing.assert_close(slope, logit.detach() - (target * 2.0 + (1 - target) * -1.0))


def test_noise_moves_each_label_by_its_own_draw() -> None:
    of_real, of_fake = Labels(noise=0.3).targets(DRAWS)
    assert 0.7 < of_real.min() < 0.71
    assert 0.99 < of_real.max() <= 1
    assert 0 <= of_fake.min() < 0.01
    assert 0.29 < of_fake.max() < 0.3
    torch.testing.assert_close(of_real.mean().item(), 0.85, rtol=0, atol=0.02)
    torch.testing.assert_close(of_fake.mean().item(), 0.15, rtol=0, atol=0.02)
    assert abs(torch.corrcoef(torch.stack([of_real, of_fake]))[0, 1]) < 0.15
    smoothed, _ = Labels(noise=0.3, smoothing=0.1).targets(DRAWS)
    torch.testing.assert_close(smoothed, of_real - 0.1)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_flip_swaps_real_and_fake(loss: LabelLoss) -> None:
    labels = Labels(flips=0.25)
    flip_real, flip_fake = DRAWS[:, 2] < 0.25, DRAWS[:, 3] < 0.25
    expected = torch.where(flip_real, loss.fake(REAL), loss.real(REAL))
    expected = expected + torch.where(flip_fake, loss.real(FAKE), loss.fake(FAKE))
    torch.testing.assert_close(labels.critic_loss(loss, REAL, FAKE, DRAWS), expected)
    for flipped in (flip_real, flip_fake):
        assert flipped.double().mean().item() == pytest.approx(0.25, abs=0.06)
    assert not torch.equal(flip_real, flip_fake)


def test_flips_come_after_smoothing_and_noise() -> None:
    draws = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.9, 0.9]], dtype=torch.float64)
    of_real, of_fake = Labels(smoothing=0.1, noise=0.4, flips=0.5).targets(draws)
    torch.testing.assert_close(of_real, torch.tensor([0.3, 0.7], dtype=torch.float64))
    torch.testing.assert_close(of_fake, torch.tensor([0.8, 0.2], dtype=torch.float64))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_hard_labels_are_the_bare_loss(loss: LabelLoss) -> None:
    assert Labels().hard
    torch.testing.assert_close(
        Labels().critic_loss(loss, REAL, FAKE, DRAWS), loss.critic(REAL, FAKE)
    )


@pytest.mark.parametrize("name", ["smoothing", "noise", "flips"])
def test_labels_are_refused(name: str) -> None:
    soft = Labels(**{name: 0.1})
    assert not soft.hard
    with pytest.raises(ValueError, match="must be 0 with RelativisticLoss, which compares pairs"):
        soft.check(RelativisticLoss())
    Labels().check(RelativisticLoss())
    for loss in LOSSES:
        soft.check(loss)
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"^label_{name} must be in \[0, 1\), got {value}"):
            Labels(**{name: value})


def test_labels_stay_between_0_and_1() -> None:
    of_real, _ = Labels(smoothing=0.4, noise=0.6).targets(DRAWS)
    assert 0 <= of_real.min() < 0.01
    with pytest.raises(ValueError, match=r"^label_smoothing \+ label_noise must be at most 1, .*"):
        Labels(smoothing=0.5, noise=0.6)
