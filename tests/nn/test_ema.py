"""The averaged network against a loop written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.ema import ExponentialMovingAverage


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def train_a_little(net: nn.Module, average: ExponentialMovingAverage, steps: int) -> list[dict]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    states = []
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        average.update(net)
        states.append({k: v.clone() for k, v in net.state_dict().items()})
    return states


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_weights_follow_the_recursion_and_buffers_are_copied(decay: float) -> None:
    net = network()
    average = ExponentialMovingAverage(net, decay=decay)
    expected = {k: v.clone().double() for k, v in net.state_dict().items()}
    weights = [name for name, _ in net.named_parameters()]
    states = train_a_little(net, average, steps=6)
    for state in states:
        for name in weights:
            expected[name] = decay * expected[name] + (1 - decay) * state[name].double()
    got = average.network.state_dict()
    for name in weights:
        torch.testing.assert_close(got[name].double(), expected[name], rtol=1e-5, atol=1e-6)
    for name, _ in net.named_buffers():
        assert torch.equal(got[name], states[-1][name])
    assert got["1.num_batches_tracked"] == 6
    assert not torch.equal(states[0]["0.weight"], states[-1]["0.weight"])


@pytest.mark.parametrize("warmup", [1, 3, 10])
def test_the_warm_up_forgets_the_first_weights(warmup: int) -> None:
    """Decay of update t is min(decay, (1 + t) / (warmup + t)); saved and loaded on the way."""
    net, decay = network(), 0.6
    average = ExponentialMovingAverage(net, decay=decay, warmup=warmup)
    expected = net[0].weight.detach().double()
    used = []
    for step in range(8):
        with torch.no_grad():
            net[0].weight.add_(torch.randn(4, 3, generator=torch.Generator().manual_seed(step)))
        average.update(net, step=step)
        used.append(min(decay, (1 + step) / (warmup + step)))
        expected = used[-1] * expected + (1 - used[-1]) * net[0].weight.detach().double()
        got = average.network[0].weight.double()
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
        state = average.state_dict()
        average = ExponentialMovingAverage(network(), decay=decay, warmup=warmup)
        average.load_state_dict(state)
    assert used[0] == min(decay, 1 / warmup)
    assert used[-1] == min(decay, 8 / (7 + warmup))


def test_a_warm_up_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="ema_warmup must be at least 0 generator steps, got -1"):
        ExponentialMovingAverage(nn.Linear(1, 1), decay=0.5, warmup=-1)


def test_it_starts_as_a_copy_and_not_as_the_same_tensors() -> None:
    net = network()
    average = ExponentialMovingAverage(net, decay=0.9)
    before = average.network[0].weight.clone()
    assert torch.equal(before, net[0].weight)
    with torch.no_grad():
        net[0].weight.add_(1.0)
    assert torch.equal(average.network[0].weight, before)


def test_it_is_always_in_evaluation_mode() -> None:
    average = ExponentialMovingAverage(network(), decay=0.9)
    outer = nn.ModuleDict({"average": average, "plain": nn.Dropout()})
    outer.train()
    assert outer["plain"].training
    assert not any(module.training for module in average.modules())
    buffers = {k: v.clone() for k, v in average.named_buffers()}
    average(torch.randn(8, 3))
    assert all(torch.equal(v, buffers[k]) for k, v in average.named_buffers())


def test_it_takes_no_gradients_and_needs_none_of_its_own() -> None:
    net = network()
    average = ExponentialMovingAverage(net, decay=0.9)
    assert not any(p.requires_grad for p in average.parameters())
    assert not average(torch.randn(8, 3)).requires_grad
    train_a_little(net, average, steps=1)
    assert all(p.grad is None and p.grad_fn is None for p in average.parameters())
    assert all(p.requires_grad for p in net.parameters())


def test_its_state_makes_a_round_trip_with_the_module_around_it() -> None:
    net = network()
    average = ExponentialMovingAverage(net, decay=0.5)
    train_a_little(net, average, steps=3)
    fresh = ExponentialMovingAverage(network(), decay=0.5)
    x = torch.randn(5, 3)
    assert not torch.equal(fresh(x), average(x))
    fresh.load_state_dict(average.state_dict())
    assert torch.equal(fresh(x), average(x))
    assert set(average.state_dict()) == {f"network.{k}" for k in net.state_dict()}


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"ema_decay must be in \[0, 1\), got {decay}"):
        ExponentialMovingAverage(nn.Linear(1, 1), decay=decay)
