"""Sums of importance weights in parts, dequantised pixels, and bits against closed forms."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ganvas.losses.iwae import importance_weighted_bound
from ganvas.metrics.likelihood import ImportanceSums, bits_per_dim, dequantized
from ganvas.nn.likelihoods import DiscretizedLogisticLikelihood

LEVELS = torch.arange(256).double() / 255


def random(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("parts", [[120], [1] * 120, [50, 50, 20], [7, 113]])
@pytest.mark.parametrize("shift", [0.0, -1e5, 1e5])
def test_sums_of_parts_are_those_of_all_codes_at_once(parts: list[int], shift: float) -> None:
    log_likelihood, log_ratio = 20 * random(5, 120, seed=0) + shift, 5 * random(5, 120, seed=1)
    pieces = zip(log_likelihood.split(parts, 1), log_ratio.split(parts, 1), strict=True)
    sums = reduce(add, (ImportanceSums.of(*piece) for piece in pieces))
    log_weights = log_likelihood - log_ratio
    exact = {"rtol": 0, "atol": 1e-10}
    torch.testing.assert_close(sums.bound, importance_weighted_bound(log_weights), **exact)
    torch.testing.assert_close(sums.distortion, -log_likelihood.mean(1), **exact)
    torch.testing.assert_close(sums.rate, log_ratio.mean(1), **exact)
    w = (log_weights - log_weights.amax(1, keepdim=True)).exp()
    torch.testing.assert_close(sums.effective, w.sum(1) ** 2 / (w**2).sum(1), rtol=1e-8, atol=0)


def test_effective_codes_are_from_one_to_all() -> None:
    equal = ImportanceSums.of(torch.full((2, 9), -80.0), torch.zeros(2, 9))
    assert equal.effective.tolist() == pytest.approx([9, 9])
    one = ImportanceSums.of(torch.tensor([[-80.0, *[-200.0] * 8]]), torch.zeros(1, 9))
    assert one.effective.tolist() == pytest.approx([1])


def test_codes_in_float32_are_summed_in_float64() -> None:
    """2²⁴ + 1 is no float32."""
    sums = ImportanceSums.of(torch.tensor([[2.0**24, 1.0]]), torch.zeros(1, 2))
    assert sums.distortion.tolist() == [-(2**24 + 1) / 2]


def test_each_level_is_spread_over_its_cell() -> None:
    for u in (0.0, 0.3, 1.0):
        x = dequantized(LEVELS, torch.full_like(LEVELS, u))
        torch.testing.assert_close(256 * x, torch.arange(256).double() + u, rtol=0, atol=1e-10)


def test_a_uniform_density_costs_eight_bits() -> None:
    bits = bits_per_dim(torch.zeros(3), num_values=784, is_density=True)
    assert bits.tolist() == [8, 8, 8]
    equal = torch.tensor([-12 * math.log(256.0)], dtype=torch.float64)
    assert bits_per_dim(equal, num_values=12, is_density=False).tolist() == pytest.approx([8])


@pytest.mark.parametrize("sigma", [0.01, 0.1, 1.0])
def test_bits_of_a_dequantised_gaussian_are_those_of_its_cells_and_jensens_gap(
    sigma: float,
) -> None:
    """The gap is half the variance of log p on a cell, in bits: slope² / (24 · 256² · log 2)."""
    density = Normal(*torch.tensor([0.2, sigma], dtype=torch.float64))
    grid = (torch.arange(1000).double() + 0.5) / 1000
    k = torch.arange(55, 65).double()
    x = dequantized((k / 255)[:, None].expand(-1, 1000), grid.expand(10, -1))
    bits = bits_per_dim(density.log_prob(x), num_values=1, is_density=True).mean(1)
    cells = -(density.cdf((k + 1) / 256) - density.cdf(k / 256)).log2()
    slope = (0.2 - (k + 0.5) / 256) / sigma**2
    gap = slope.square() / (24 * 256**2 * math.log(2))
    assert (bits > cells).all()
    torch.testing.assert_close(bits - cells, gap, rtol=0.1, atol=1e-3 * gap.max().item())
    by_hand = 0.5 * ((x - 0.2) / sigma) ** 2 + math.log(sigma * math.sqrt(2 * math.pi))
    expected = by_hand.mean(1) / math.log(2) + 8
    torch.testing.assert_close(bits, expected, rtol=0, atol=1e-9)


def test_bits_of_discrete_levels_are_their_entropy_at_least() -> None:
    likelihood = DiscretizedLogisticLikelihood(scale=0.05).double().requires_grad_(False)
    x = LEVELS.view(-1, 1, 1, 1)
    bits = bits_per_dim(
        likelihood.log_prob(x, torch.full_like(x, 0.2)), num_values=1, is_density=False
    )
    mass = 2**-bits
    assert mass.sum().item() == pytest.approx(1, abs=1e-9)
    own_entropy = -(mass * mass.log2()).sum()
    assert (mass * bits).sum().item() == pytest.approx(own_entropy.item(), abs=1e-9)
    for seed in range(5):
        other = random(256, seed=seed).softmax(0)
        assert (other * bits).sum() > -(other * other.log2()).sum()
