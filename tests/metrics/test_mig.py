"""MIG against scikit-learn, closed forms, and what must not change it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from ganvas.metrics.mutual_information import (
    discretized,
    entropy,
    mutual_information,
    mutual_information_gap,
)

NUM_BINS = 20


def grid(*sizes: int, times: int = 1) -> torch.Tensor:
    """Every combination of factor values, `times` times: exactly independent and uniform."""
    values = np.indices(sizes).reshape(len(sizes), -1).T
    return torch.from_numpy(np.tile(values, (times, 1)))


def noise(num: int, width: int, *, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, width, generator=generator, dtype=torch.float64)


def gap(codes: torch.Tensor, factors: torch.Tensor, *, num_bins: int = NUM_BINS) -> float:
    return mutual_information_gap(codes, factors, num_bins=num_bins)


@pytest.mark.parametrize("probabilities", [[0.5, 0.5], [0.1, 0.2, 0.7], [1.0], [0.25] * 4])
def test_entropy_is_that_of_the_shares(probabilities: list[float]) -> None:
    counts = torch.tensor([round(20 * p) for p in probabilities])
    expected = -sum(p * math.log(p) for p in probabilities)
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    assert entropy(labels) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_mutual_information_is_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.integers(7, size=500)
    b = (a + generator.integers(4, size=500)) % 5
    found = mutual_information(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(mutual_info_score(a, b), abs=1e-13)
    assert found > 0.01


def test_bins_are_those_of_numpy() -> None:
    codes = noise(1000, 3)
    found = discretized(codes, num_bins=7)
    for code, bins in zip(codes.T.numpy(), found.T.numpy(), strict=True):
        assert (np.bincount(bins, minlength=7) == np.histogram(code, bins=7)[0]).all()
        assert (np.diff(bins[code.argsort()]) >= 0).all()
    assert (discretized(torch.full((5, 1), 3.0), num_bins=4) == 0).all()


def test_codes_equal_to_the_factors_reach_one_where_bins_tell_all_values() -> None:
    factors = grid(3, 5, NUM_BINS, 1)  # the last one has a single value and is left out
    assert gap(factors.double(), factors) == pytest.approx(1, abs=1e-12)


def test_the_ceiling_is_below_one_where_bins_are_fewer_than_values() -> None:
    factors = grid(4, 40)
    # 40 values in 20 bins, 2 in each: log 20 of log 40
    expected = (1 + math.log(20) / math.log(40)) / 2
    assert gap(factors.double(), factors) == pytest.approx(expected, abs=1e-12)


def test_a_code_that_tells_half_of_a_factor() -> None:
    factors = grid(4)
    codes = torch.stack([factors[:, 0] // 2, factors[:, 0] % 2], dim=1).double()
    assert gap(codes[:, :1], factors) == pytest.approx(0.5, abs=1e-12)  # log 2 of log 4
    assert gap(codes, factors) == pytest.approx(0, abs=1e-12)  # as much in the other one


def test_every_code_twice_leaves_no_gap() -> None:
    factors = grid(3, 4, times=5)
    codes = factors + 0.1 * noise(len(factors), 2)
    assert gap(codes, factors) > 0.5
    assert gap(codes.repeat(1, 2), factors) == 0


def test_noise_tells_nothing_but_its_finite_sample_bias() -> None:
    factors = grid(3, 4, times=500)
    # I of independent labels is about (bins − 1) (values − 1) / 2N, and the gap is less
    bias = 19 * 3 / (2 * len(factors)) / math.log(3)
    assert 0 <= gap(noise(len(factors), 6), factors) < bias


def test_order_scale_and_shift_of_codes_change_nothing() -> None:
    factors = grid(3, 5, times=20)
    codes = factors.double() @ torch.tensor([[1.0, 0.2, 0.0], [0.0, 1.0, 0.5]]).double()
    codes += 0.3 * noise(len(factors), 3)
    found = gap(codes, factors)
    assert 0.02 < found < 0.9
    assert gap(codes[:, [2, 0, 1]], factors) == pytest.approx(found, abs=1e-13)
    assert gap(codes * torch.tensor([0.5, 4.0, 64.0]), factors) == pytest.approx(found, abs=1e-13)
    assert gap(3.7 * codes - 11.3, factors) == pytest.approx(found, abs=1e-13)
    assert gap(codes[:, [0]], factors) != pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (torch.zeros(4, 2), grid(3), "of the same images"),
        (torch.zeros(1, 2), grid(1), "of the same images, 2 at least"),
        (torch.full((3, 2), math.nan), grid(3), "codes must be finite"),
        (torch.zeros(3, 2), torch.ones(3, 2).long(), "no factor takes two values"),
    ],
)
def test_what_can_not_be_scored_is_refused(
    codes: torch.Tensor, factors: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gap(codes, factors)


def test_one_bin_is_refused() -> None:
    with pytest.raises(ValueError, match="num_bins must be at least 2, got 1"):
        gap(torch.zeros(3, 2), grid(3), num_bins=1)
