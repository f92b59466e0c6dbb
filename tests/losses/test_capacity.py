"""The steered rate: the VAE at γ = 1 and C = 0, a target elsewhere."""

from __future__ import annotations

import pytest
import torch
from drawn_outputs import drawn_outputs, elbo_terms, part_of

from ganvas.losses.capacity import CapacityLoss
from ganvas.schedules import LinearSchedule


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gamma_one_and_capacity_zero_is_the_elbo_to_the_bit(dtype: torch.dtype) -> None:
    outputs = drawn_outputs(dtype=dtype)
    got, plain = CapacityLoss(gamma=1.0, capacity=0.0)(outputs, step=9), elbo_terms(outputs)
    assert torch.equal(got.total, plain.total)
    for name in ("distortion", "rate", "elbo"):
        assert torch.equal(got.parts[name], plain.parts[name])
    assert not torch.equal(
        CapacityLoss(gamma=1.0, capacity=0.1)(outputs, step=9).total, plain.total
    )


@pytest.mark.parametrize("offset", [-2.0, 0.0, 3.0])
def test_it_pays_for_the_distance_on_either_side(offset: float) -> None:
    outputs = drawn_outputs()
    rate = outputs.rate.mean().item()
    got = CapacityLoss(gamma=7.0, capacity=rate + offset)(outputs, step=0)
    extra = got.total - got.parts["distortion"]
    assert extra.item() == pytest.approx(7.0 * abs(offset), abs=1e-12)
    assert got.parts["capacity"].item() == pytest.approx(rate + offset)


@pytest.mark.parametrize(("offset", "sign"), [(-1.0, 1.0), (1.0, -1.0)])
def test_its_gradient_pulls_the_rate_to_the_capacity(offset: float, sign: float) -> None:
    rate = torch.tensor(5.0, requires_grad=True)
    loss = CapacityLoss(gamma=4.0, capacity=5.0 + offset)
    loss.objective(drawn_outputs(), distortion=torch.zeros(()), rate=rate, step=0).total.backward()
    assert rate.grad is not None
    assert rate.grad.item() == sign * 4.0


def test_the_capacity_follows_its_schedule() -> None:
    loss = CapacityLoss(gamma=2.0, capacity=LinearSchedule(start=0.0, end=25.0, steps=10))
    outputs = drawn_outputs()
    for step, capacity in ((0, 0.0), (4, 10.0), (10, 25.0), (99, 25.0)):
        got = loss(outputs, step=step)
        assert got.parts["capacity"].item() == capacity
        expected = got.parts["distortion"] + 2.0 * (got.parts["rate"] - capacity).abs()
        torch.testing.assert_close(got.total, expected)


def test_the_distance_is_of_the_batch_and_not_of_each_image() -> None:
    outputs = drawn_outputs()
    low, high = outputs.rate.min(), outputs.rate.max()
    loss = CapacityLoss(gamma=1.0, capacity=outputs.rate.mean().item())
    whole = loss(outputs, step=0)
    assert low < outputs.rate.mean() < high
    torch.testing.assert_close(whole.total, whole.parts["distortion"])
    single = loss(part_of(outputs, slice(0, 1)), step=0)
    assert single.total > single.parts["distortion"]


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="gamma must be at least 0, got -1; 0 leaves its term out"):
        CapacityLoss(gamma=-1, capacity=0.0)
    with pytest.raises(ValueError, match="capacity must be at least 0 nats, got -5"):
        CapacityLoss(gamma=1.0, capacity=-5)
