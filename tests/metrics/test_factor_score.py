"""The FactorVAE score: codes whose answer is known, and one vote by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ganvas.metrics.factor_score import FactorScore, factor_score
from metrics.test_mig import grid, noise

FACTORS = grid(3, 4, 2, times=10)
CHANCE = 1 / 3


def score(codes: torch.Tensor, factors: torch.Tensor = FACTORS, **options: Any) -> FactorScore:
    given = {"train_votes": 300, "test_votes": 300, "group_size": 24, "least_std": 0.05, "seed": 0}
    return factor_score(codes, factors, **{**given, **options})


def test_codes_equal_to_the_factors_reach_one_in_any_order_and_scale() -> None:
    codes = FACTORS.double()
    assert score(codes) == FactorScore(1.0, 0.0, CHANCE, 3)
    assert score(-7 * codes[:, [2, 0, 1]] + 3) == FactorScore(1.0, 0.0, CHANCE, 3)


def test_scale_is_divided_out() -> None:
    codes = (FACTORS + 0.4 * noise(len(FACTORS), 3)) * torch.tensor([100.0, 1.0, 0.1])
    found = score(codes)
    assert found == score(codes / torch.tensor([100.0, 1.0, 0.1]))
    assert found.accuracy > 0.8


def test_noise_is_near_chance() -> None:
    found = score(noise(len(FACTORS), 5), train_votes=2000, test_votes=2000)
    assert found.error == pytest.approx(math.sqrt(found.accuracy * (1 - found.accuracy) / 2000))
    # groups are of finitely many images, so noise may hold still a little by chance
    assert CHANCE - 4 * found.error < found.accuracy < 0.55
    assert score(FACTORS.double(), train_votes=2000, test_votes=2000).accuracy == 1


def test_one_code_of_all_factors_names_one_alone() -> None:
    found = score(FACTORS.double().sum(1, keepdim=True), test_votes=2000)
    assert found.accuracy == pytest.approx(CHANCE, abs=4 * found.error)


def test_two_factors_in_codes_name_two() -> None:
    found = score(FACTORS[:, :2].double(), test_votes=2000)
    assert found.accuracy == pytest.approx(2 / 3, abs=4 * found.error)
    assert found.active == 2


def test_codes_that_hardly_vary_are_left_out() -> None:
    still = torch.cat([FACTORS.double(), 1e-3 * noise(len(FACTORS), 4), torch.ones(240, 1)], dim=1)
    assert score(still) == score(FACTORS.double())
    assert score(still, least_std=0).active == 7  # a constant one never takes part
    nothing = score(still[:, 3:], test_votes=2000)
    assert nothing.active == 0
    assert nothing.accuracy == pytest.approx(CHANCE, abs=4 * nothing.error)


def test_a_factor_of_one_value_takes_no_part() -> None:
    factors = torch.cat([FACTORS, torch.zeros(len(FACTORS), 1).long()], dim=1)
    assert score(FACTORS.double(), factors) == score(FACTORS.double())


def test_the_seed_alone_decides() -> None:
    codes = FACTORS + 0.7 * noise(len(FACTORS), 3)
    assert score(codes) == score(codes) != score(codes, seed=1)


@pytest.mark.parametrize("option", [{"train_votes": 0}, {"test_votes": 0}, {"group_size": 1}])
def test_too_small_sizes_are_refused(option: dict[str, int]) -> None:
    name, value = next(iter(option.items()))
    with pytest.raises(ValueError, match=f"at least 1 vote .*{name}={value}"):
        score(FACTORS.double(), **option)
