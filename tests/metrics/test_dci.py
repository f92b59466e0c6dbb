"""DCI: its two scores by hand, and codes of which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganvas.metrics.dci import completeness, dci, disentanglement
from metrics.test_mig import grid, noise

FACTORS = grid(3, 4, times=60)


def binary_entropy(p: float) -> float:
    """In bits."""
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_scores_of_an_importance_matrix_by_hand() -> None:
    importance = torch.tensor([[0.75, 0.25], [0.0, 0.5], [0.0, 0.0], [0.25, 0.25]]).double()
    each = [1 - binary_entropy(0.75), 1.0, 0.0, 0.0]
    weights = [1.0 / 2, 0.5 / 2, 0.0, 0.5 / 2]
    assert disentanglement(importance) == pytest.approx(np.dot(each, weights), abs=1e-14)
    first = 1 - binary_entropy(0.75) / 2  # to base 4
    second = 1 - 1.5 / 2
    assert completeness(importance) == pytest.approx((first + second) / 2, abs=1e-14)


def test_the_ends_of_both_scales() -> None:
    one_each = torch.eye(4).double()
    assert disentanglement(one_each) == completeness(one_each) == 1
    alike = torch.full((4, 4), 0.25).double()
    assert disentanglement(alike) == pytest.approx(0, abs=1e-14)
    assert completeness(alike) == pytest.approx(0, abs=1e-14)
    split = torch.eye(3).double().repeat_interleave(2, 0) / 2  # two codes for each factor
    assert disentanglement(split) == pytest.approx(1, abs=1e-14)
    assert completeness(split) == pytest.approx(1 - math.log(2) / math.log(6), abs=1e-14)
    merged = torch.cat([torch.ones(1, 3), torch.zeros(2, 3)]).double()  # one code for all
    assert disentanglement(merged) == pytest.approx(0, abs=1e-14)
    assert completeness(merged) == pytest.approx(1, abs=1e-14)


def test_rounding_below_zero_is_no_importance() -> None:
    rounded = torch.tensor([[1.0, -1e-18], [-1e-18, 1.0]], dtype=torch.float64)
    assert disentanglement(rounded) == pytest.approx(1, abs=1e-12)
    assert completeness(rounded) == pytest.approx(1, abs=1e-12)


def test_where_nothing_matters_scores_are_zero() -> None:
    assert disentanglement(torch.zeros(3, 2).double()) == 0
    assert completeness(torch.zeros(3, 2).double()) == 0
    constant = dci(torch.ones(len(FACTORS), 2), FACTORS, num_stages=2, seed=0)
    assert (constant.disentanglement, constant.completeness) == (0, 0)
    assert constant.informativeness == pytest.approx(constant.chance, abs=1e-12)


def test_codes_equal_to_the_factors() -> None:
    found = dci(FACTORS.double(), FACTORS, num_stages=5, seed=0)
    assert found.disentanglement == pytest.approx(1, abs=1e-6)
    assert found.completeness == pytest.approx(1, abs=1e-6)
    assert (found.informativeness, found.informativeness_error) == (1, 0)
    assert found.chance < 0.4  # the most frequent of 3, and of 4


def test_rotated_codes_are_less_disentangled_and_hardly_less_informative() -> None:
    cosine = math.sqrt(0.5)
    rotated = FACTORS.double() @ torch.tensor([[cosine, -cosine], [cosine, cosine]]).double()
    found = dci(rotated, FACTORS, num_stages=20, seed=0)
    assert 0 <= found.disentanglement < 0.3
    assert 0 <= found.completeness < 0.3
    assert found.informativeness > 0.9


def test_noise_informs_of_nothing() -> None:
    found = dci(noise(len(FACTORS), 4), FACTORS, num_stages=5, seed=0)
    error = found.informativeness_error
    assert 0 < error < 0.05
    assert abs(found.informativeness - (1 / 3 + 1 / 4) / 2) < 4 * error
    assert found.disentanglement < 0.1
    assert found.completeness < 0.1


def test_the_seed_alone_decides() -> None:
    codes = FACTORS + 0.5 * noise(len(FACTORS), 2)
    found = [dci(codes, FACTORS, num_stages=3, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_a_value_that_is_in_one_half_alone() -> None:
    factors = torch.zeros(20, 1).long()
    factors[3] = 1
    found = [dci(noise(20, 2), factors, num_stages=1, seed=seed) for seed in range(6)]
    assert {f.informativeness for f in found} <= {0.8, 0.9, 1.0}
    assert any(f.disentanglement == 0 for f in found)  # not seen in training
    assert any(f.disentanglement == 1 for f in found)  # seen, and there is no other factor


def test_no_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="num_stages must be at least 1, got 0"):
        dci(FACTORS.double(), FACTORS, num_stages=0, seed=0)
