"""Sprites: simple shapes with known factors, drawn by ourselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ganvas.data.content import combine
from ganvas.data.factors import TEST_SHARE, factor_grid, tenth
from ganvas.data.options import whole
from ganvas.errors import ConfigError
from ganvas.types import ImageShape, Split

_VERSION = 1
"""Raise it when the same recipe would give other pixels, or the images in another order."""

_SAMPLES = 8
"""Samples per pixel and axis: 64 levels of coverage, positions in steps of 1/8 pixel."""

_SINE_STEPS = 2**20
"""Sines are rounded to multiples of 2⁻²⁰, so that libraries may differ in their last bits."""

_SMALLEST_IMAGE = 16
_MOST_IMAGES = 10_000_000
_FULL_SIDE = 5 / 16
"""Side of the square at scale 1, as a part of the image's."""


def _square(u: np.ndarray, v: np.ndarray, side: float) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= side / 2


def _ellipse(u: np.ndarray, v: np.ndarray, side: float) -> np.ndarray:
    """Axes 2 : 1, the longer one along u: π a · a / 2 = side²."""
    return u * u + 4.0 * (v * v) <= 2.0 * (side * side) / math.pi


def _heart(u: np.ndarray, v: np.ndarray, side: float) -> np.ndarray:
    """A square on its tip with a disc over each of the two upper edges, its centroid at 0.

    With half diagonal h the area is h² (2 + π / 2); the centroid of the two half discs and the
    square lies h (π / 4 + 1 / 3) / (2 + π / 2) above the square's centre.
    """
    h = math.sqrt(side * side / (2.0 + math.pi / 2.0))
    w = v - h * (math.pi / 4.0 + 1.0 / 3.0) / (2.0 + math.pi / 2.0)
    across, up = np.abs(u) - h / 2.0, w + h / 2.0
    return (np.abs(u) + np.abs(w) <= h) | (across * across + up * up <= h * h / 2.0)


SHAPES = {"square": _square, "ellipse": _ellipse, "heart": _heart}
"""Whether points (u, v), v downwards, lie in a shape of area side² with its centroid at 0."""


class Sprites:
    """White or coloured shapes on black, one image for each combination of known factors.

    After dSprites (Matthey et al. 2017), drawn by ourselves with soft edges. Factors:

    - shape: the class label. All shapes have the same area at the same scale;
    - scale: factor on lengths, evenly from 0.5 to 1 (there the square's side is 5/16 of the image);
    - orientation: 360°/n · k about the centroid, from x towards y (clockwise as one sees it);
    - x, y: the centroid, evenly from 1/4 to 3/4 of the image, rounded to 1/8 pixel; y downwards;
    - hue, only where `hues` is given: 360°/n · k, fully saturated.

    A factor with one value takes the middle of its range (orientation and hue: 0). The test split
    is a tenth; it and the order of the images are chosen by a hash.

    A pixel is the share of its 8×8 samples that lie in the shape, rounded to 8 bits. Only
    additions, products, quotients, roots and comparisons of doubles have a part in it, which
    IEEE 754 defines to the bit, besides sines rounded to 20 bits and sums of small whole numbers.

    Args:
        image_size: side in pixels, at least 16.
        shapes: some of "square", "ellipse", "heart".
        scales: number of scales.
        orientations: number of angles. Odd numbers keep all images different: a square looks the
            same after 90°, an ellipse after 180°.
        x_positions: number of columns.
        y_positions: number of rows.
        hues: number of colours; None draws white in one channel.

    Raises:
        ConfigError: a value out of range, by its key.
    """

    def __init__(
        self,
        *,
        image_size: int,
        shapes: Sequence[str],
        scales: int,
        orientations: int,
        x_positions: int,
        y_positions: int,
        hues: int | None = None,
    ) -> None:
        self._side = whole("image_size", image_size, least=_SMALLEST_IMAGE)
        self._shapes = _checked_shapes(shapes)
        sizes = {
            "shape": len(self._shapes),
            "scale": whole("source.scales", scales, least=1),
            "orientation": whole("source.orientations", orientations, least=1),
            "x": whole("source.x_positions", x_positions, least=1),
            "y": whole("source.y_positions", y_positions, least=1),
        }
        if hues is not None:
            sizes["hue"] = whole("source.hues", hues, least=1)
        if (total := math.prod(sizes.values())) > _MOST_IMAGES:
            raise ConfigError(
                f"dataset.source: the factors must make at most {_MOST_IMAGES:,} images, got "
                f"{total:,}; lower one of its counts"
            )
        self._sizes = sizes

    @property
    def image_shape(self) -> ImageShape:
        """(1, side, side), or (3, side, side) in colour."""
        return (3 if "hue" in self._sizes else 1, self._side, self._side)

    @property
    def num_classes(self) -> int | None:
        """Number of shapes."""
        return len(self._shapes)

    @property
    def factor_names(self) -> tuple[str, ...]:
        """shape, scale, orientation, x, y and, in colour, hue."""
        return tuple(self._sizes)

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple(self._sizes.values())

    def count(self, split: Split) -> int | None:
        """Known in advance."""
        return len(self._members(split))

    def fingerprint(self) -> str:
        """Hash of the recipe: all that decides pixels and splits."""
        recipe = f"{self._side} {self._sizes} {_SAMPLES} {_SINE_STEPS} {TEST_SHARE}"
        return combine("sprites", str(_VERSION), recipe, *self._shapes)

    def factors(self, split: Split) -> np.ndarray:
        """int64 `(N, F)`: which value each factor takes in each image."""
        return factor_grid(self.factor_sizes)[self._members(split)]

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images, drawn now, and shapes as labels."""
        kept = self._members(split)
        colours = _colours(self._sizes.get("hue"))
        images = np.empty((len(kept), *self.image_shape), dtype=np.uint8)
        sorter, first = np.argsort(kept), 0
        for hits in self._drawn():
            size = len(hits) * len(colours)
            low, high = np.searchsorted(kept, (first, first + size), sorter=sorter)
            mine = sorter[low:high]
            place, colour = np.divmod(kept[mine] - first, len(colours))
            levels = hits[place, None] * colours[colour, :, None, None] / _SAMPLES**2
            images[mine] = np.floor(levels + 0.5)
            first += size
        return images, self.factors(split)[:, 0]

    def _members(self, split: Split) -> np.ndarray:
        return tenth(math.prod(self.factor_sizes), split=split, name="sprites")

    def _drawn(self) -> Iterator[np.ndarray]:
        """For each sprite in turn, its samples per pixel at every place, `(X · Y, S, S)`."""
        num_x, num_y, side = self._sizes["x"], self._sizes["y"], self._side
        columns, rows = _placements(num_x, side=side), _placements(num_y, side=side)
        for sprite in self._sprites():
            # whole numbers up to 64: exact in float32, in whatever order they are added
            hits = rows @ (sprite.astype(np.float32) @ columns.T)
            placed = hits.reshape(num_y, side, num_x, side).transpose(2, 0, 1, 3)
            yield placed.reshape(-1, side, side)

    def _sprites(self) -> Iterator[np.ndarray]:
        """Which samples lie in each shape, scale and orientation, bool `(4 S, 4 S)`.

        These are half an image each way: the circle about the centroid that holds any sprite.
        """
        num_scales, num_angles = self._sizes["scale"], self._sizes["orientation"]
        num = _SAMPLES * self._side // 2
        offset = (np.arange(num) - (num - 1) / 2) / _SAMPLES
        for shape, k, turn in product(self._shapes, range(num_scales), range(num_angles)):
            scale = 0.5 + (k / (num_scales - 1) if num_scales > 1 else 0.5) / 2
            angle = 2 * math.pi * turn / num_angles
            cosine, sine = (
                round(value * _SINE_STEPS) / _SINE_STEPS
                for value in (math.cos(angle), math.sin(angle))
            )
            u = cosine * offset + sine * offset[:, None]
            v = cosine * offset[:, None] - sine * offset
            yield SHAPES[shape](u, v, scale * _FULL_SIDE * self._side)


def _placements(num: int, *, side: int) -> np.ndarray:
    """For each position, which sample of a sprite falls into which pixel, 0/1 `(num · S, 4 S)`."""
    free = _SAMPLES * side // 2  # how far a sprite's first sample moves over the image
    steps = max(num - 1, 1)
    first = np.array([(2 * free * k + steps) // (2 * steps) for k in range(num)])
    if num == 1:
        first += free // 2
    samples = np.arange(_SAMPLES * side // 2)
    pixel = (first[:, None] + samples) // _SAMPLES
    at = pixel[:, None] == np.arange(side)[:, None]
    return at.astype(np.float32).reshape(num * side, len(samples))


def _colours(hues: int | None) -> np.ndarray:
    """Channels of each colour, whole numbers 0..255, float32 `(hues, C)`; one white without hues.

    Hue 6 k / n on the hexagon of HSV: a channel is |(hue + shift) mod 6 − 3| − 1 within [0, 1].
    """
    if hues is None:
        return np.full((1, 1), 255, dtype=np.float32)
    shifted = (6 * np.arange(hues)[:, None] + hues * np.array([0, 4, 2])) % (6 * hues)
    channels = np.clip(np.abs(shifted - 3 * hues) - hues, 0, hues)
    return ((510 * channels + hues) // (2 * hues)).astype(np.float32)


def _checked_shapes(shapes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(shapes)
    if not names or len(set(names)) < len(names) or not SHAPES.keys() >= set(names):
        raise ConfigError(
            f"dataset.source.shapes: must be one or more of {', '.join(SHAPES)}, each once, "
            f"got [{', '.join(map(str, names))}]"
        )
    return names
