"""Grids of images as people look at them, and points of the plane as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.types import ValueRange

MIN_SIDE = 512
GREY, BLUE = (176, 176, 176), (31, 84, 200)


def to_unit(images: Tensor, *, value_range: ValueRange) -> Tensor:
    """Images of any value range as float32 in [0, 1], clamped, on the CPU."""
    low, high = value_range
    return ((images.detach().float().cpu() - low) / (high - low)).clamp(0.0, 1.0)


def grid(images: Tensor, *, columns: int = 8) -> np.ndarray:
    """One uint8 picture `(H, W, 3)` of images `(N, C, h, w)` in [0, 1], row by row.

    Small images are enlarged by a whole factor, pixels kept sharp, until the longer side of the
    picture has about 512 pixels. Points are drawn by `scatter` instead.
    """
    from torchvision.utils import make_grid

    if are_points(images):
        return scatter(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    longest = max(columns * images.shape[3], rows * images.shape[2])
    factor = max(1, round(MIN_SIDE / longest))
    enlarged = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    picture = make_grid(enlarged, nrow=columns, padding=2, pad_value=0.5)
    return np.ascontiguousarray(to_uint8(picture).transpose(1, 2, 0))


def are_points(images: Tensor) -> bool:
    """Whether images are points of the plane: two values, in the shape (2, 1, 1)."""
    return tuple(images.shape[1:]) == POINT_SHAPE


def scatter(points: Tensor, *, beneath: Tensor | None = None) -> np.ndarray:
    """One uint8 picture `(512, 512, 3)` of points `(N, 2, 1, 1)` in [0, 1], blue on white.

    The first value goes to the right, the second upwards. A point is a dot of 3 × 3 pixels, and
    the darker, the more of them lie there: of n dots 1/2ⁿ of the ground shows through.

    Args:
        points: to show.
        beneath: points `(M, 2, 1, 1)` drawn first, in grey.
    """
    picture = np.full((MIN_SIDE, MIN_SIDE, 3), 255.0)
    for layer, colour in ((beneath, GREY), (points, BLUE)):
        if layer is not None:
            shown = 0.5 ** _dots(layer.reshape(-1, 2).double().numpy())[..., None]
            picture = shown * picture + (1 - shown) * np.array(colour)
    return picture.round().astype(np.uint8)


def _dots(points: np.ndarray) -> np.ndarray:
    """How many of the points `(N, 2)` cover each pixel of the picture, the first row on top."""
    counts = np.zeros((MIN_SIDE + 2, MIN_SIDE + 2))
    column, height = np.minimum((points * MIN_SIDE).astype(int), MIN_SIDE - 1).T
    np.add.at(counts, (MIN_SIDE - height, column + 1), 1)
    windows = np.lib.stride_tricks.sliding_window_view(counts, (3, 3))
    return windows.sum(axis=(2, 3))


def columns_of_classes(num: int, *, num_classes: int, near: int = 8) -> int:
    """Columns for a grid of `num` images whose classes come in turn, so that columns are classes.

    The multiple of `num_classes` that is nearest to `near`; `near` itself for so many classes that
    there would be no second row.
    """
    columns = num_classes * max(1, round(near / num_classes))
    return columns if columns < num else near


def to_uint8(images: Tensor) -> np.ndarray:
    """Values in [0, 1] rounded to 0…255."""
    return (images * 255).round().byte().numpy()


def pairs(real: Tensor, reconstructed: Tensor, *, columns: int = 8) -> Tensor:
    """Rows of originals, each with the row of their reconstructions beneath."""
    rows: list[Tensor] = []
    for start in range(0, len(real) // columns * columns, columns):
        rows += [*real[start : start + columns], *reconstructed[start : start + columns]]
    import torch

    return torch.stack(rows) if rows else torch.cat([real, reconstructed])
