"""Which image sizes a network can make, and a refusal that names the nearest ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from ganvas.types import ImageShape

SMALLEST_MAP, LARGEST_MAP = 4, 7


def checked_size(
    image_shape: ImageShape, *, network: str, rule: str, possible: Callable[[int], bool]
) -> int:
    """The side of square images that the network can make.

    Args:
        image_shape: (C, H, W).
        network: its name, for the message.
        rule: the possible sizes in words.
        possible: whether a side is one of them; there must be no largest one.

    Raises:
        ValueError: if the image is not square, or its side is not possible, with the nearest
            sizes; for points of the plane, which have none, with other networks.
    """
    _, height, width = image_shape
    if tuple(image_shape) == POINT_SHAPE:
        raise ValueError(
            f"the {network} networks make square images {rule}, got points of the plane; choose "
            "network=points or network=dense_gan"
        )
    if height == width and possible(height):
        return height
    below = next((size for size in range(height, 0, -1) if possible(size)), None)
    above = next(size for size in count(height) if possible(size))
    nearest = " or ".join(str(size) for size in sorted({below or above, above}))
    raise ValueError(
        f"the {network} networks make square images {rule}, got {height}×{width}; set "
        f"dataset.image_size to {nearest}"
    )


def doubled_sizes(image_shape: ImageShape, *, network: str) -> list[int]:
    """Sizes of the maps from the smallest, of 4 to 7 pixels a side, doubled up to the image.

    Raises:
        ValueError: if the size is no such one.
    """
    size = checked_size(
        image_shape,
        network=network,
        rule="of 4 to 7 pixels doubled once or more (8, 10, 12, 14, 16, 20, …)",
        possible=lambda size: len(_halved(size)) > 1 and _halved(size)[0] >= SMALLEST_MAP,
    )
    return _halved(size)


def _halved(size: int) -> list[int]:
    """Halved while even and above 7, the smallest first; `[0]` where that ends above 7."""
    sizes = [size]
    while sizes[0] > LARGEST_MAP:
        if sizes[0] % 2:
            return [0]
        sizes.insert(0, sizes[0] // 2)
    return sizes
