"""Possible sizes, and the nearest ones where a size is not."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from ganvas.nn.sizes import checked_size, doubled_sizes


@pytest.mark.parametrize(
    ("size", "smallest"),
    [(8, 4), (10, 5), (12, 6), (14, 7), (16, 4), (28, 7), (32, 4), (40, 5), (96, 6), (256, 4)],
)
def test_the_smallest_map_is_doubled_up_to_the_image(size: int, smallest: int) -> None:
    sizes = doubled_sizes((3, size, size), network="new")
    assert (sizes[0], sizes[-1]) == (smallest, size)
    assert all(b == 2 * a for a, b in pairwise(sizes))


def test_the_possible_sizes_are_4_to_7_times_a_power_of_two() -> None:
    possible = []
    for size in range(1, 130):
        try:
            doubled_sizes((1, size, size), network="new")
            possible.append(size)
        except ValueError:
            pass
    wanted = sorted(m * 2**k for m in (4, 5, 6, 7) for k in range(1, 6))
    assert possible == [size for size in wanted if size < 130]


@pytest.mark.parametrize(
    ("shape", "nearest"),
    [
        ((1, 30, 30), "28 or 32"),
        ((1, 33, 33), "32 or 40"),
        ((1, 3, 3), "8"),
        ((1, 4, 4), "8"),
        ((1, 28, 32), "28"),
        ((1, 33, 28), "32 or 40"),
    ],
)
def test_the_nearest_sizes_are_offered(shape: tuple[int, int, int], nearest: str) -> None:
    message = re.escape(f"got {shape[1]}×{shape[2]}; set dataset.image_size to {nearest}") + "$"
    with pytest.raises(ValueError, match=message):
        doubled_sizes(shape, network="new")


def test_the_rule_is_in_the_message() -> None:
    def seven(size: int) -> bool:
        return size % 7 == 0

    assert checked_size((1, 7, 7), network="new", rule="of weeks", possible=seven) == 7
    with pytest.raises(
        ValueError,
        match=r"^the new networks make square images of weeks, got 10×10; .* to 7 or 14$",
    ):
        checked_size((1, 10, 10), network="new", rule="of weeks", possible=seven)
