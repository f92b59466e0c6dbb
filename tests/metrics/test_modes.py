"""Modes and good samples: counted by hand, and of real points the closed form."""

from __future__ import annotations

import math

import pytest
import torch

from ganvas.data.sources import Mixture2D
from ganvas.metrics.modes import expected_good_share, mode_coverage

CENTERS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])


def test_counts_by_hand() -> None:
    points = torch.tensor(
        [[0.0, 0.29], [0.2, -0.2], [0.0, 0.31], [4.0, 0.0], [2.0, 2.0], [0.21, 3.8], [0.1, 3.9]]
    )  # radius 0.3: good, good, bad, good, bad, good (0.29), good
    found = mode_coverage(points, centers=CENTERS, sigma=0.1)
    assert found.modes_covered == 3
    assert found.good_share == pytest.approx(5 / 7)
    shares = [2 / 5, 1 / 5, 2 / 5]
    expected = sum(p * math.log(4 * p) for p in shares)
    assert found.kl_from_uniform == pytest.approx(expected)


def test_the_ends_of_the_scale() -> None:
    every = mode_coverage(CENTERS.repeat(5, 1), centers=CENTERS, sigma=0.1)
    assert (every.modes_covered, every.good_share) == (4, 1.0)
    assert every.kl_from_uniform == pytest.approx(0, abs=1e-12)
    one = mode_coverage(CENTERS[:1].repeat(9, 1), centers=CENTERS, sigma=0.1)
    assert (one.modes_covered, one.good_share) == (1, 1.0)
    assert one.kl_from_uniform == pytest.approx(math.log(4))
    none = mode_coverage(torch.full((3, 2), 2.0), centers=CENTERS, sigma=0.1)
    assert (none.modes_covered, none.good_share) == (0, 0.0)
    assert math.isnan(none.kl_from_uniform)


def test_real_points_are_good_as_often_as_the_closed_form_says() -> None:
    source = Mixture2D(
        side=5, spacing=2.0, sigma=0.05, margin=0.5, num_train=100_000, num_test=1, seed=0
    )
    points = torch.from_numpy(source.to_points(source.read("train")[0]))
    found = mode_coverage(points, centers=torch.from_numpy(source.centers), sigma=source.sigma)
    share = expected_good_share()
    assert share == pytest.approx(0.98889, abs=1e-5)
    assert found.modes_covered == 25
    assert found.good_share == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 1e5))
    # 2 N KL is χ² with 24 degrees of freedom
    assert 0 < 2e5 * found.kl_from_uniform < 24 + 4 * math.sqrt(48)


@pytest.mark.parametrize("points", [torch.zeros(0, 2), torch.zeros(5, 3)])
def test_points_of_another_space_are_refused(points: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"points must be \(N, 2\) with N at least 1"):
        mode_coverage(points, centers=CENTERS, sigma=0.1)
