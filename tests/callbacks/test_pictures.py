"""Grids hold every pixel where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvas import pictures


def flat(values: list[float], *, channels: int = 1, side: int = 16) -> torch.Tensor:
    """One image of a single value for each of `values`."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, channels, side, side)


def test_images_stand_row_by_row_between_grey_lines() -> None:
    values = [i / 10 for i in range(10)]
    picture = pictures.grid(flat(values, side=128), columns=4)
    pitch = 128 + 2
    assert picture.shape == (3 * pitch + 2, 4 * pitch + 2, 3)
    assert picture.dtype == np.uint8
    for i, value in enumerate(values):
        top, left = 2 + i // 4 * pitch, 2 + i % 4 * pitch
        tile = picture[top : top + 128, left : left + 128]
        assert (tile == round(255 * value)).all()
    assert (picture[:2] == 128).all()
    assert (picture[:, pitch : pitch + 2] == 128).all()


@pytest.mark.parametrize(
    ("num", "columns", "side", "factor"),
    [(64, 8, 8, 8), (64, 8, 64, 1), (4, 8, 8, 16), (16, 8, 28, 2), (8, 8, 256, 1)],
)
def test_small_images_are_enlarged_by_a_whole_factor(
    num: int, columns: int, side: int, factor: int
) -> None:
    torch.manual_seed(0)
    images = torch.rand(num, 1, side, side)
    picture = pictures.grid(images, columns=columns)
    wide = min(num, columns)
    assert picture.shape[1] == wide * (side * factor + 2) + 2
    first = picture[2 : 2 + side * factor : factor, 2 : 2 + side * factor : factor, 0]
    assert np.array_equal(first, pictures.to_uint8(images[0, 0]))
    tile = picture[2 : 2 + side * factor, 2 : 2 + side * factor, 0]
    assert np.array_equal(tile, np.kron(first, np.ones((factor, factor), dtype=np.uint8)))


def test_colours_keep_their_channels_and_grey_becomes_three() -> None:
    colour = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    assert (pictures.grid(colour)[10, 10] == [0, 128, 255]).all()
    assert (pictures.grid(flat([0.2, 0.2]))[10, 10] == [51, 51, 51]).all()


def test_values_are_rounded_to_the_nearest() -> None:
    values = torch.arange(256) / 255
    assert np.array_equal(pictures.to_uint8(values), np.arange(256, dtype=np.uint8))
    assert np.array_equal(pictures.to_uint8(values[:-1] + 0.4 / 255), np.arange(255))
    assert np.array_equal(pictures.to_uint8(values[:-1] + 0.6 / 255), np.arange(1, 256))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (-2.0, 6.0)])
def test_any_value_range_comes_to_the_unit_range(value_range: tuple[float, float]) -> None:
    low, high = value_range
    images = torch.linspace(low, high, 5, requires_grad=True)
    got = pictures.to_unit(images, value_range=value_range)
    torch.testing.assert_close(got, torch.linspace(0, 1, 5))
    assert not got.requires_grad
    outside = torch.tensor([low - 1, high + 1], dtype=torch.bfloat16)
    assert pictures.to_unit(outside, value_range=value_range).tolist() == [0.0, 1.0]


def test_reconstructions_stand_beneath_their_originals() -> None:
    real, made = flat([0.0, 0.1, 0.2, 0.3]), flat([0.5, 0.6, 0.7, 0.8])
    paired = pictures.pairs(real, made, columns=2)
    got = paired[:, 0, 0, 0].tolist()
    assert got == pytest.approx([0.0, 0.1, 0.5, 0.6, 0.2, 0.3, 0.7, 0.8])


def test_an_incomplete_row_is_left_out_but_a_single_one_is_shown() -> None:
    real, made = flat([0.0, 0.1, 0.2]), flat([0.5, 0.6, 0.7])
    got = pictures.pairs(real, made, columns=2)[:, 0, 0, 0].tolist()
    assert got == pytest.approx([0.0, 0.1, 0.5, 0.6])
    assert len(pictures.pairs(real, made, columns=8)) == 6


def points(*coordinates: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(coordinates).view(-1, 2, 1, 1)


def test_points_are_dots_with_x_to_the_right_and_y_upwards() -> None:
    picture = pictures.scatter(points((0.25, 0.875)))
    assert (picture.shape, picture.dtype) == ((512, 512, 3), np.uint8)
    rows, columns = np.nonzero((picture != 255).any(axis=2))
    assert (sorted(set(rows)), sorted(set(columns))) == ([62, 63, 64], [127, 128, 129])
    half = (np.array(pictures.BLUE) + 255) / 2
    assert np.abs(picture[63, 128] - half).max() <= 0.5


def test_dots_darken_where_they_meet_and_cover_what_lies_beneath() -> None:
    middle = (0.5, 0.5)
    thrice = pictures.scatter(points(middle, middle, middle))[255, 256]
    assert np.abs(thrice - (255 / 8 + np.array(pictures.BLUE) * 7 / 8)).max() <= 0.5
    beneath = points(*[middle] * 20, (0.25, 0.25))
    picture = pictures.scatter(points(*[middle] * 20), beneath=beneath).astype(int)
    assert np.abs(picture[255, 256] - pictures.BLUE).max() <= 1
    assert np.abs(picture[383, 128] - (255 + np.array(pictures.GREY)) / 2).max() <= 0.5


def test_points_on_the_border_stay_in_the_picture() -> None:
    corners = points((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    picture = pictures.scatter(corners)
    assert [int((picture[r, c] < 255).any()) for r in (0, 511) for c in (0, 511)] == [1] * 4
    assert (picture != 255).any(axis=2).sum() == 16  # what is left of four dots


def test_a_grid_of_points_is_one_picture() -> None:
    some = torch.rand(40, 2, 1, 1)
    assert np.array_equal(pictures.grid(some, columns=5), pictures.scatter(some))
    assert not pictures.are_points(torch.rand(4, 1, 2, 1))
