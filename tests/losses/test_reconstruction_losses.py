"""Reconstruction losses against their formulas, written out again pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli

from ganvas.losses.reconstruction import (
    AbsoluteError,
    AutoencoderOutputs,
    BinaryCrossEntropy,
    ReconstructionLoss,
    SquaredError,
)

LOSSES = [SquaredError(), AbsoluteError(), BinaryCrossEntropy()]


@pytest.fixture
def batch() -> tuple[AutoencoderOutputs, torch.Tensor]:
    torch.manual_seed(0)
    logits = 2 * torch.randn(5, 3, 4, 6)
    return AutoencoderOutputs(torch.randn(5, 2), logits), torch.rand(5, 3, 4, 6)


@pytest.mark.parametrize(
    ("loss", "pixel"),
    [
        (SquaredError(), lambda x, p: (x - p) ** 2),
        (AbsoluteError(), lambda x, p: (x - p).abs()),
        (BinaryCrossEntropy(), lambda x, p: -(x * p.log() + (1 - x) * (1 - p).log())),
    ],
    ids=["mse", "l1", "bce"],
)
def test_formula(
    batch: tuple[AutoencoderOutputs, torch.Tensor], loss: ReconstructionLoss, pixel: object
) -> None:
    outputs, x = batch
    p = torch.special.expit(outputs.logits)
    expected = torch.einsum("bchw->b", pixel(x, p))
    torch.testing.assert_close(loss.per_sample(outputs, x), expected)
    terms = loss(outputs, x, step=3)
    torch.testing.assert_close(terms.total, expected.mean())
    assert list(terms.parts) == [loss.name]
    assert torch.equal(terms.parts[loss.name], terms.total)


def test_bce_is_the_bernoulli_likelihood_of_binary_pixels(
    batch: tuple[AutoencoderOutputs, torch.Tensor],
) -> None:
    outputs, x = batch
    binary = x.round()
    expected = -Bernoulli(logits=outputs.logits).log_prob(binary).flatten(1).sum(1)
    torch.testing.assert_close(BinaryCrossEntropy().per_sample(outputs, binary), expected)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_batch_may_be_cut_anywhere(
    batch: tuple[AutoencoderOutputs, torch.Tensor], loss: ReconstructionLoss
) -> None:
    outputs, x = batch
    whole = loss.per_sample(outputs, x)
    for cut in (1, 2, 4):
        halves = [
            loss.per_sample(AutoencoderOutputs(outputs.code[part], outputs.logits[part]), x[part])
            for part in (slice(0, cut), slice(cut, 5))
        ]
        torch.testing.assert_close(torch.cat(halves), whole, rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_extreme_logits_stay_finite(loss: ReconstructionLoss) -> None:
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4]).view(1, 1, 2, 2).requires_grad_()
    x = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    total = loss(AutoencoderOutputs(torch.empty(1, 0), logits), x, step=0).total
    total.backward()
    assert total.item() == pytest.approx(2e4 if loss.name == "bce" else 2.0)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()], ids=lambda loss: loss.name)
def test_a_perfect_reconstruction_costs_nothing(loss: ReconstructionLoss) -> None:
    logits = torch.randn(2, 1, 3, 3)
    outputs = AutoencoderOutputs(torch.empty(2, 0), logits)
    assert torch.equal(loss.per_sample(outputs, outputs.reconstruction), torch.zeros(2))
