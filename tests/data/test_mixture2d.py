"""Points of the plane: where they should be, and as precise as they were drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ganvas.data import ImageData
from ganvas.data.loader import to_float
from ganvas.data.sources import Mixture2D
from ganvas.errors import ConfigError

SMALL = {
    "side": 3,
    "spacing": 2.0,
    "sigma": 0.05,
    "margin": 0.5,
    "num_train": 20_000,
    "num_test": 1000,
    "seed": 0,
}


def mixture(**changes: Any) -> Mixture2D:
    return Mixture2D(**{**SMALL, **changes})


def coordinates(source: Mixture2D, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    images, modes = source.read(split)
    assert modes is not None
    return source.to_points(images.astype(np.float64)), modes


def test_centres_are_a_grid_about_the_origin() -> None:
    expected = [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    assert mixture(side=5).centers.tolist() == [list(map(float, c)) for c in expected]
    assert mixture(side=2, spacing=3.0).centers.tolist() == [
        [-1.5, -1.5], [-1.5, 1.5], [1.5, -1.5], [1.5, 1.5],
    ]  # fmt: skip
    assert mixture(side=1).centers.tolist() == [[0.0, 0.0]]


def test_each_mode_has_its_mean_spread_and_share() -> None:
    source = mixture()
    points, modes = coordinates(source)
    noise = (points - source.centers[modes]) / 0.05
    num = len(points)
    assert noise.mean(0) == pytest.approx([0, 0], abs=4 / math.sqrt(num))
    assert np.cov(noise.T) == pytest.approx(np.eye(2), abs=6 / math.sqrt(num))
    shares = np.bincount(modes, minlength=9) / num
    assert shares == pytest.approx(np.full(9, 1 / 9), abs=4 * math.sqrt(8 / 81 / num))


def test_points_are_kept_where_eight_bits_would_move_them() -> None:
    """Float32 is good to a millionth of σ or so; a step of 8 bits over ±4.5 is 0.7 σ."""
    source = mixture(side=5)
    images, modes = source.read("train")
    assert images.dtype == np.float32
    exact, _ = coordinates(source)
    rounded = source.to_points(np.rint(images * 255.0) / 255)
    error = (rounded - exact) / 0.05
    assert np.abs(error).max() == pytest.approx(4.5 / 255 / 0.05, rel=0.01)
    moved = [np.abs(error[modes == k].mean(0)).max() for k in range(25)]
    assert max(moved) > 0.01  # a mode is left on no lattice of its own
    assert len({tuple(p) for p in rounded[modes == 12]}) < 150  # a few lattice points a mode


def test_splits_and_seeds_differ_and_repeat() -> None:
    train, test = mixture().read("train")[0], mixture().read("test")[0]
    assert (train.shape, test.shape) == ((20_000, 2, 1, 1), (1000, 2, 1, 1))
    assert np.array_equal(train, mixture().read("train")[0])
    assert not {tuple(p.ravel()) for p in test} & {tuple(p.ravel()) for p in train}
    assert not np.array_equal(train, mixture(seed=1).read("train")[0])


@pytest.mark.parametrize(
    "change",
    [{"side": 4}, {"spacing": 1.9}, {"sigma": 0.04}, {"margin": 0.6}, {"num_test": 9}, {"seed": 1}],
)
def test_the_fingerprint_knows_the_recipe(change: dict[str, Any]) -> None:
    assert mixture().fingerprint() == mixture().fingerprint() != mixture(**change).fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": 0}, "dataset.source.side: must be at least 1, got 0"),
        ({"sigma": 0.0}, "dataset.source.sigma: must be positive, got 0.0"),
        ({"sigma": float("nan")}, "dataset.source.sigma: must be positive, got nan"),
        ({"spacing": -1.0}, "dataset.source.spacing: must be positive, got -1.0"),
        ({"sigma": 0.1}, "dataset.source.margin: must be at least 6 sigma = 0.6"),
    ],
)
def test_a_mixture_that_is_none(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixture(**change)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_batches_hold_the_very_points(tmp_path: Any, cached: bool, value_range: Any) -> None:
    """In file order, in any range, and twice over: reading must not change what is stored."""
    source = mixture(num_test=100)
    low, high = value_range
    expected = torch.from_numpy(source.read("test")[0]).double() * (high - low) + low
    for _ in range(2):
        data = ImageData(source, batch_size=30, cache_dir=tmp_path if cached else None)
        data.prepare()
        for _ in range(2):
            batches = list(data.loader("test", value_range=value_range, seed=0))
            got = torch.cat([batch.x for batch in batches])
            assert got.dtype == torch.float32
            assert_close(got.double(), expected, rtol=0, atol=1e-7)


def test_a_run_resumed_in_the_middle_goes_on_with_the_same_points() -> None:
    data = ImageData(mixture(num_train=100), batch_size=10)
    data.prepare()
    whole = list(data.loader("train", value_range=(-1, 1), seed=3))
    rest = list(data.loader("train", value_range=(-1, 1), seed=3, position=lambda: 7))
    assert len(rest) == 3
    for a, b in zip(whole[7:], rest, strict=True):
        assert torch.equal(a.x, b.x)
        assert a.y is not None
        assert b.y is not None
        assert torch.equal(a.y, b.y)


def test_floats_are_a_map_of_the_unit_range_and_stay_untouched() -> None:
    pixels = torch.tensor([0.0, 0.25, 1.0])
    assert to_float(pixels, value_range=(-1, 1)).tolist() == [-1.0, -0.5, 1.0]
    assert to_float(pixels, value_range=(0, 1)).tolist() == [0.0, 0.25, 1.0]
    assert pixels.tolist() == [0.0, 0.25, 1.0]


def test_points_cannot_be_made_black_and_white() -> None:
    data = ImageData(mixture(), batch_size=10, binarization="threshold")
    with pytest.raises(ConfigError, match="binarization: must be null for data of float32"):
        data.prepare()
