"""Each augmentation against the published recipe, written out image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganvas.nn.diff_augment import WIDTH, checked_policy, diff_augment
from ganvas.types import ValueRange

RANGES: list[ValueRange] = [(-1.0, 1.0), (0.0, 1.0)]
ALL = ["color", "translation", "cutout"]


def images(num: int, *, size: int = 8, channels: int = 3) -> Tensor:
    """Different everywhere, in [0, 1]."""
    return torch.rand(num, channels, size, size, generator=torch.Generator().manual_seed(0))


def draws(num: int) -> Tensor:
    return torch.rand(num, WIDTH, generator=torch.Generator().manual_seed(1))


def neutral(num: int, **changed: float) -> Tensor:
    """Draws that change no colour and move nothing, but for the columns that are named."""
    names = ["brightness", "saturation", "contrast", "down", "right", "hole_row", "hole_column"]
    table = torch.full((num, WIDTH), 0.5)
    for name, value in changed.items():
        table[:, names.index(name)] = value
    return table


@pytest.mark.parametrize("value_range", RANGES)
def test_neutral_draws_change_nothing(value_range: ValueRange) -> None:
    x = images(4)
    policy = ["color", "translation"]
    same = diff_augment(x, neutral(4), policy=policy, value_range=value_range)
    torch.testing.assert_close(same, x)
    assert diff_augment(x, draws(4), policy=[], value_range=value_range) is x


@pytest.mark.parametrize("value_range", RANGES)
def test_color_is_the_published_one_image_by_image(value_range: ValueRange) -> None:
    """Brightness ±0.5 of values in [−1, 1], saturation 0 to 2, contrast ½ to 3/2."""
    low, high = value_range
    x, table = low + (high - low) * images(5), draws(5)
    got = diff_augment(x, table, policy=["color"], value_range=value_range)
    for image, draw, mine in zip(x, table.tolist(), got, strict=True):
        one = 2 * (image - low) / (high - low) - 1
        one = one + (draw[0] - 0.5)
        grey = one.mean(0, keepdim=True)
        one = (one - grey) * (2 * draw[1]) + grey
        one = (one - one.mean()) * (draw[2] + 0.5) + one.mean()
        torch.testing.assert_close(mine, low + (high - low) * (one + 1) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("value_range", "most"), [((-1.0, 1.0), 0.5), ((0.0, 1.0), 0.25)])
def test_the_ends_of_the_colour_ranges(value_range: ValueRange, most: float) -> None:
    def colored(**changed: float) -> Tensor:
        return diff_augment(x, neutral(2, **changed), policy=["color"], value_range=value_range)

    x = images(2)
    torch.testing.assert_close(colored(brightness=0.0), x - most)
    torch.testing.assert_close(colored(brightness=1.0), x + most)
    grey = x.mean(1, keepdim=True)
    torch.testing.assert_close(colored(saturation=0.0), grey.expand_as(x))
    torch.testing.assert_close(colored(saturation=1.0), 2 * x - grey)
    middle = x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(colored(contrast=0.0), (x + middle) / 2)
    torch.testing.assert_close(colored(contrast=1.0), 1.5 * x - 0.5 * middle)


@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize(
    ("down", "right", "rows", "columns"),
    [(0.0, 0.5, -1, 0), (0.99, 0.5, 1, 0), (0.5, 0.0, 0, -1), (0.4, 0.7, 0, 1)],
)
def test_translation_moves_a_known_image(
    value_range: ValueRange, down: float, right: float, rows: int, columns: int
) -> None:
    """8 pixels move by at most one; where nothing comes from there is grey."""
    grey = sum(value_range) / 2
    image = torch.arange(64.0).view(1, 1, 8, 8)
    got = diff_augment(
        image, neutral(1, down=down, right=right), policy=["translation"], value_range=value_range
    )[0, 0]
    expected = torch.full((8, 8), grey)
    for i in range(8):
        for j in range(8):
            if 0 <= i + rows < 8 and 0 <= j + columns < 8:
                expected[i, j] = image[0, 0, i + rows, j + columns]
    assert torch.equal(got, expected)


@pytest.mark.parametrize(("size", "most"), [(8, 1), (28, 4), (32, 4), (12, 2)])
def test_every_shift_up_to_an_eighth_is_as_likely(size: int, most: int) -> None:
    """Where one bright pixel ends up, for a fine grid of draws."""
    num = 100 * (2 * most + 1)
    table = neutral(num)
    table[:, 3] = (torch.arange(num) + 0.5) / num
    x = torch.zeros(num, 1, size, size)
    x[:, :, size // 2, size // 2] = 1
    moved = diff_augment(x, table, policy=["translation"], value_range=(-1.0, 1.0))
    places = moved[:, 0, :, size // 2].argmax(1) - size // 2
    assert torch.equal(places.unique(), torch.arange(-most, most + 1))
    assert set(torch.bincount(places + most).tolist()) == {100}


@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize("size", [8, 28, 10])
def test_the_hole_is_half_a_side_wide_and_cut_off_at_the_border(
    value_range: ValueRange, size: int
) -> None:
    """Against the published loop: offsets 0 to side (to side − 1 where half a side is odd)."""
    half, count = size // 2, size + 1 - (size // 2) % 2
    table = neutral(count)
    table[:, 5] = (torch.arange(count) + 0.5) / count
    table[:, 6] = table[:, 5].flip(0)
    x = 5 + images(count, size=size)
    got = diff_augment(x, table, policy=["cutout"], value_range=value_range)
    for offset in range(count):
        hole = torch.zeros(size, size, dtype=torch.bool)
        for i in range(half):
            for j in range(half):
                row = min(max(offset + i - half // 2, 0), size - 1)
                column = min(max(count - 1 - offset + j - half // 2, 0), size - 1)
                hole[row, column] = True
        assert (got[offset, :, hole] == sum(value_range) / 2).all()
        assert torch.equal(got[offset, :, ~hole], x[offset, :, ~hole])


@pytest.mark.parametrize("policy", ALL)
def test_each_image_has_its_own_draws(policy: str) -> None:
    x = images(1).expand(6, -1, -1, -1)
    table = draws(6)
    both = diff_augment(x, table, policy=[policy], value_range=(0.0, 1.0))
    assert any(not torch.equal(both[0], other) for other in both[1:])
    for i in range(6):
        alone = diff_augment(x[:1], table[i : i + 1], policy=[policy], value_range=(0.0, 1.0))
        torch.testing.assert_close(alone[0], both[i])


@pytest.mark.parametrize("policy", [*([name] for name in ALL), ALL])
def test_gradients_pass_through(policy: list[str]) -> None:
    """Numerically; and no more comes back than pixels that are still to be seen."""
    x = images(2, size=8, channels=2).double().requires_grad_()
    table = draws(2).double()

    def augmented(pictures: Tensor) -> Tensor:
        return diff_augment(pictures, table, policy=policy, value_range=(-1.0, 1.0))

    assert torch.autograd.gradcheck(augmented, (x,), fast_mode=True)
    (gradient,) = torch.autograd.grad(augmented(x).sum(), x)
    assert gradient.abs().sum() > 0


def test_the_policies_are_done_in_one_order() -> None:
    x, table = images(3), draws(3)
    in_order = x
    for policy in ALL:
        in_order = diff_augment(in_order, table, policy=[policy], value_range=(-1.0, 1.0))
    at_once = diff_augment(x, table, policy=["cutout", "color", "translation"], value_range=(-1, 1))
    assert torch.equal(at_once, in_order)


def test_a_draw_just_below_one_stays_inside() -> None:
    table = torch.full((1, WIDTH), 1 - 2**-24)
    for size in (8, 28, 33):
        got = diff_augment(images(1, size=size), table, policy=ALL, value_range=(0.0, 1.0))
        assert got.shape == (1, 3, size, size)


def test_unknown_policies_are_refused() -> None:
    assert checked_policy("color") == ("color",)
    assert checked_policy(["cutout", "color"]) == ("cutout", "color")
    with pytest.raises(
        ValueError, match=r"^augment must be of color, translation, cutout, got 'colour'"
    ):
        checked_policy(["color", "colour"])
