"""What is made of distances from training images: extremes, neutral values, ties, errors."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from ganvas.metrics.memorization import memorization


def drawn(num: int, *, seed: int) -> Tensor:
    return 0.1 + torch.rand(num, generator=torch.Generator().manual_seed(seed)).double()


def test_copies() -> None:
    found = memorization(torch.zeros(30), drawn(200, seed=0))
    assert (found.probability, found.ratio, found.near_copies) == (1, 0, 1)
    assert found.probability_error == 0


def test_equal_distances_are_neutral() -> None:
    """Also with duplicates and ties."""
    for unseen in (drawn(400, seed=0), drawn(400, seed=0).mul(10).round()):
        found = memorization(unseen.flip(0), unseen)
        assert found.probability == pytest.approx(0.5, abs=1e-12)
        assert found.ratio == 1
        assert found.near_copies == (unseen <= unseen.sort().values[3]).double().mean()
    assert memorization(drawn(400, seed=0), drawn(400, seed=0)).near_copies == 0.01


def test_farther_samples() -> None:
    found = memorization(3 + drawn(30, seed=1), drawn(200, seed=0))
    assert (found.probability, found.near_copies) == (0, 0)
    assert found.ratio > 3


def test_a_few_copies_show_in_the_tail() -> None:
    samples = torch.cat([torch.zeros(50), drawn(950, seed=1)])
    found = memorization(samples, drawn(1000, seed=0))
    assert found.near_copies == pytest.approx(0.05 + 0.95 * 0.01, abs=0.01)
    assert found.probability == pytest.approx(0.525, abs=0.03)


@pytest.mark.parametrize("whole", [True, False])
def test_probability_is_the_mann_whitney_statistic(whole: bool) -> None:
    samples, unseen = drawn(70, seed=1), 0.2 + drawn(90, seed=0)
    if whole:
        samples, unseen = (10 * samples).round(), (10 * unseen).round()
    farther = mannwhitneyu(samples.numpy(), unseen.numpy()).statistic
    expected = 1 - farther / (70 * 90)
    assert memorization(samples, unseen).probability == pytest.approx(expected, rel=1e-12)


def test_the_standard_error_is_the_spread_over_draws_of_samples() -> None:
    unseen = drawn(100, seed=0)
    found = [memorization(0.9 * drawn(50, seed=seed), unseen) for seed in range(1, 401)]
    spread = torch.tensor([one.probability for one in found]).double().std().item()
    errors = [one.probability_error or 0.0 for one in found]
    assert sum(errors) / 400 == pytest.approx(spread, rel=0.1)
    assert memorization(drawn(1, seed=1), unseen).probability_error is None


def test_refusals() -> None:
    with pytest.raises(ValueError, match="got 3 and 0"):
        memorization(drawn(3, seed=0), drawn(0, seed=0))
    with pytest.raises(ValueError, match="must differ from training images, got 2 of 3 that don't"):
        memorization(drawn(3, seed=0), torch.tensor([0.0, 1.0, 0.0]))
