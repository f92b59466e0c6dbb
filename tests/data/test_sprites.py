"""Sprites: what is drawn against what the factors say, measured from the pixels."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_helpers import Numbered

from ganvas.data import ImageData
from ganvas.data.order import permutation
from ganvas.data.sources import Sprites
from ganvas.errors import ConfigError
from ganvas.protocols import HasFactors

SHAPES = ("square", "ellipse", "heart")
SIDE, SCALES, TURNS, PLACES = 64, 3, 5, 4
SMALL = {
    "image_size": SIDE,
    "shapes": SHAPES,
    "scales": SCALES,
    "orientations": TURNS,
    "x_positions": PLACES,
    "y_positions": PLACES,
}


def sprites(**changes: Any) -> Sprites:
    return Sprites(**{**SMALL, **changes})


def by_factors(source: Sprites) -> dict[tuple[int, ...], np.ndarray]:
    """All images `(C, S, S)` in [0, 1], train first."""
    parts = [(source.read(split)[0], source.factors(split)) for split in ("train", "test")]
    pairs = [pair for images, rows in parts for pair in zip(images / 255, rows, strict=True)]
    return {tuple(row.tolist()): image for image, row in pairs}


@cache
def drawn() -> dict[tuple[int, ...], np.ndarray]:
    """Images `(S, S)` of the small grid."""
    return {factors: image[0] for factors, image in by_factors(sprites()).items()}


def centroid(image: np.ndarray) -> tuple[float, float]:
    """(x, y) in pixels from the upper left corner."""
    at = np.arange(len(image)) + 0.5
    return float(image.sum(0) @ at / image.sum()), float(image.sum(1) @ at / image.sum())


def place(k: int, *, num: int = PLACES, side: int = SIDE) -> float:
    return side / 4 + side / 2 * k / (num - 1)


def test_every_combination_is_drawn_once() -> None:
    sizes = (3, SCALES, TURNS, PLACES, PLACES)
    source = sprites()
    assert isinstance(source, HasFactors)
    assert source.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert source.factor_sizes == sizes
    rows = np.concatenate([source.factors("train"), source.factors("test")]).tolist()
    assert sorted(map(tuple, rows)) == list(product(*map(range, sizes)))
    assert (source.count("train"), source.count("test")) == (648, 72)
    for split in ("train", "test"):
        images, labels = source.read(split)
        assert images.shape == (source.count(split), 1, SIDE, SIDE)
        assert np.array_equal(labels, source.factors(split)[:, 0])
    assert source.num_classes == 3


def test_odd_orientations_keep_all_images_different_and_even_ones_do_not() -> None:
    assert len({image.tobytes() for image in drawn().values()}) == len(drawn())
    for shape, different in (("square", 2), ("ellipse", 4), ("heart", 8)):
        source = sprites(shapes=[shape], orientations=8, scales=1, x_positions=1, y_positions=1)
        assert len({image.tobytes() for image in by_factors(source).values()}) == different


def test_first_images_of_a_split_are_mixed() -> None:
    for split in ("train", "test"):
        first = sprites().factors(split)[:32]
        assert all(set(column) == set(range(max(column) + 1)) for column in first.T.tolist())
        assert first.max(0).tolist() == [2, SCALES - 1, TURNS - 1, PLACES - 1, PLACES - 1]


def test_centroid_is_where_x_and_y_say() -> None:
    for (_, _, _, x, y), image in drawn().items():
        found = centroid(image)
        assert abs(found[0] - place(x)) < 0.12  # 1/16 from rounding of the position
        assert abs(found[1] - place(y)) < 0.12
    step = abs(place(1) - place(0))
    assert step > 10  # so that neighbours can't be confused


def test_moving_leaves_the_area_and_scaling_squares_it() -> None:
    for (shape, scale, turn, _x, _y), image in drawn().items():
        still = drawn()[shape, scale, turn, 0, 0]
        assert abs(image.sum() / still.sum() - 1) < 0.005
        length = (0.5 + scale / (SCALES - 1) / 2) * SIDE * 5 / 16
        assert abs(image.sum() / length**2 - 1) < 0.02
        assert abs(image.sum() / length**3 - 1) > 0.5


def offsets(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of every pixel from the centroid, along x and along y."""
    at = np.arange(len(image)) + 0.5
    x, y = centroid(image)
    return tuple(np.meshgrid(at - x, at - y))  # type: ignore[return-value]


def mean(image: np.ndarray, values: np.ndarray) -> float:
    """Mean of values over the shape."""
    return float((image * values).sum() / image.sum())


def second_moments(image: np.ndarray) -> tuple[float, float, float]:
    """Of x and x, y and y, x and y."""
    dx, dy = offsets(image)
    return mean(image, dx * dx), mean(image, dy * dy), mean(image, dx * dy)


def test_orientation_of_the_ellipse_is_that_of_its_second_moments() -> None:
    for scale, turn in product(range(SCALES), range(TURNS)):
        xx, yy, xy = second_moments(drawn()[1, scale, turn, 1, 2])
        angle = 0.5 * np.arctan2(2 * xy, xx - yy)
        off = angle - 2 * np.pi * turn / TURNS
        assert abs((off + np.pi / 2) % np.pi - np.pi / 2) < 0.02
        if turn:
            wrong = angle + 2 * np.pi * turn / TURNS  # turned the other way
            assert abs((wrong + np.pi / 2) % np.pi - np.pi / 2) > 0.3
        spread, narrow = (
            (xx + yy) / 2 + sign * np.hypot((xx - yy) / 2, xy) - 1 / 12 for sign in (1, -1)
        )
        assert abs(spread / narrow - 4) < 0.2  # axes 2 : 1


def test_heart_points_where_the_orientation_says() -> None:
    """Its third moment is positive towards the tip, and zero across."""
    for turn in range(TURNS):
        image = drawn()[2, SCALES - 1, turn, 1, 1]
        dx, dy = offsets(image)
        angle = 2 * np.pi * turn / TURNS
        along = np.cos(angle) * dy - np.sin(angle) * dx
        across = np.cos(angle) * dx + np.sin(angle) * dy
        tip, side = mean(image, along**3), mean(image, across**3)
        assert tip > 5 * abs(side)
        assert tip > 10


def test_quarter_turns_are_exact() -> None:
    images = by_factors(sprites(orientations=4, scales=1, x_positions=1, y_positions=1))
    for (shape, _, turn, _, _), image in images.items():
        after = images[shape, 0, (turn + 1) % 4, 0, 0]
        assert np.array_equal(np.rot90(image[0], -1), after[0])  # clockwise


def test_one_value_is_the_middle_of_its_range() -> None:
    source = sprites(shapes=["ellipse"], scales=1, orientations=1, x_positions=1, y_positions=1)
    (image,) = by_factors(source)[0, 0, 0, 0, 0]
    assert np.allclose(centroid(image), SIDE / 2, atol=1e-9)
    assert abs(image.sum() / (0.75 * SIDE * 5 / 16) ** 2 - 1) < 0.01
    xx, yy, _ = second_moments(image)
    assert xx > 3 * yy


@pytest.mark.parametrize("side", [16, 28, 33, 96])
def test_other_sizes_hold_the_whole_sprite(side: int) -> None:
    source = sprites(image_size=side, scales=2, orientations=3, x_positions=2, y_positions=2)
    assert source.image_shape == (1, side, side)
    for (_, scale, _, x, y), (image,) in by_factors(source).items():
        expected = [place(k, num=2, side=side) for k in (x, y)]
        assert np.allclose(centroid(image), expected, atol=0.1)
        assert abs(np.sqrt(image.sum()) - (1 + scale) / 2 * side * 5 / 16) < 0.13


def test_colour_is_one_more_factor() -> None:
    few = {"image_size": 32, "scales": 1, "x_positions": 2, "y_positions": 2}
    grey, coloured = sprites(**few), sprites(**few, hues=6)
    assert coloured.image_shape == (3, 32, 32)
    assert coloured.factor_names[-1] == "hue"
    assert coloured.fingerprint() != grey.fingerprint()
    white, full = by_factors(grey), by_factors(coloured)
    wheel = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]])
    assert len(full) == 6 * len(white)
    for (*others, hue), image in full.items():
        assert np.array_equal(image, white[tuple(others)] * wheel[hue][:, None, None])
    orange = by_factors(sprites(**few, hues=12))[0, 0, 0, 0, 0, 1]
    assert np.rint(orange.max((1, 2)) * 255).tolist() == [255, 128, 0]


def test_drawing_again_gives_the_same_bits() -> None:
    again = sprites(image_size=32, hues=4).read("train")[0]
    assert np.array_equal(again, sprites(image_size=32, hues=4).read("train")[0])
    images = np.stack([image for _, image in sorted(drawn().items(), key=lambda pair: pair[0])])
    digest = hashlib.sha256(np.rint(images * 255).astype(np.uint8).tobytes()).hexdigest()
    # where this fails the pixels have changed: raise `_VERSION` in sprites.py, then change it here
    assert digest[:16] == "2932442074b6c23c"


def test_fingerprint_is_of_the_recipe() -> None:
    first = sprites().fingerprint()
    assert first == sprites(shapes=list(SHAPES)).fingerprint()
    changes: list[dict[str, Any]] = [
        {"image_size": 32},
        {"shapes": SHAPES[::-1]},
        {"shapes": SHAPES[:2]},
        {"x_positions": 5},
        {"hues": 1},
    ]
    assert len({first, *(sprites(**change).fingerprint() for change in changes)}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 15}, "dataset.image_size: must be at least 16, got 15"),
        ({"shapes": ["star"]}, "shapes: must be one or more of square, ellipse, heart.*got .star"),
        ({"shapes": []}, "dataset.source.shapes: must be one or more of"),
        ({"shapes": ["heart", "heart"]}, "each once, got .heart, heart"),
        ({"scales": 0}, "dataset.source.scales: must be at least 1, got 0"),
        ({"orientations": 0}, "dataset.source.orientations: must be at least 1"),
        ({"x_positions": 0}, "dataset.source.x_positions: must be at least 1"),
        ({"y_positions": 2.5}, "dataset.source.y_positions: must be a whole number"),
        ({"hues": 0}, "dataset.source.hues: must be at least 1, got 0"),
    ],
)
def test_bad_values_are_refused_by_their_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sprites(**change)


@pytest.mark.parametrize("max_train", [None, 200])
def test_factors_follow_the_images_through_the_splits(max_train: int | None) -> None:
    source = sprites(image_size=32)
    data = ImageData(source, batch_size=50, val_size=100, split_seed=3, max_train=max_train)
    data.prepare()
    seen: list[tuple[int, ...]] = []
    for split in ("train", "val", "test"):
        rows = data.factors(split)
        assert rows.shape == (data.counts[split], 5)
        loader = data.loader(split, value_range=(0, 1), seed=7, batch_size=len(rows))
        (batch,) = loader
        if split == "train":
            rows = rows[permutation(len(rows), purpose="order", parts=(7, 0)).numpy()]
        assert batch.y is not None
        assert np.array_equal(rows[:, 0], batch.y.numpy())
        for image, row in zip(batch.x[:, 0].numpy(), rows, strict=True):
            assert np.allclose(centroid(image), [place(k, side=32) for k in row[3:]], atol=0.2)
        seen += map(tuple, rows.tolist())
    assert len(set(seen)) == len(seen) == (720 if max_train is None else 372)


def test_factors_of_other_data_are_refused() -> None:
    data = ImageData(Numbered(), batch_size=4, name="numbered")
    data.prepare()
    with pytest.raises(ConfigError, match=r"numbered: its factors .* choose dataset=sprites"):
        data.factors("val")


def test_drawn_at_first_use_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> torch.Tensor:
        data = ImageData(sprites(scales=1), batch_size=10, cache_dir=tmp_path)
        assert data.num_train == 216  # known before
        data.prepare()
        return torch.cat([batch.x for batch in data.loader("test", value_range=(0, 1), seed=0)])

    first = batches()
    monkeypatch.setattr(Sprites, "read", lambda *_: pytest.fail("drawn again"))
    assert torch.equal(batches(), first)
