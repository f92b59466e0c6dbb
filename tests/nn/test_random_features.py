"""Random features: fixed, the run's random numbers left alone, alike for alike images."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from ganvas.nn.noise import keyed_normal
from ganvas.nn.random_features import RandomFeatures


def features(**changes: object) -> RandomFeatures:
    return RandomFeatures(**{"widths": [4, 6], "seed": 0, **changes})  # type: ignore[arg-type]


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (3, 9, 33), (1, 64, 64)])
def test_any_size_has_four_regions_of_the_last_width(shape: tuple[int, int, int]) -> None:
    assert features()(images(5, *shape)).shape == (5, 24)


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 4, 4), (1, 8, 7)])
def test_points_and_tiny_images_are_their_own_features(shape: tuple[int, int, int]) -> None:
    x = images(5, *shape)
    torch.testing.assert_close(features()(x), x.flatten(1), rtol=0, atol=0)


def test_the_same_in_every_run_and_no_random_number_of_it() -> None:
    torch.manual_seed(1)
    before, x = torch.get_rng_state(), images(2, 3, 16, 16)
    one = features()(x)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    torch.testing.assert_close(features()(x), one, rtol=0, atol=0)
    assert (features(seed=1)(x) - one).abs().max() > 0.01
    assert list(features().parameters()) == []


def test_features_are_two_blocks_of_their_own_kernels() -> None:
    """Written out for an image of 8 pixels, centred at grey."""
    first, second = (
        (2 / 18) ** 0.5 * keyed_normal((2, 2, 3, 3), 5, i, device="cpu") for i in range(2)
    )
    assert (first - second).abs().max() > 0.1
    h = 2 * images(3, 2, 8, 8) - 1
    for kernel in (first, second):
        h = conv2d(h, kernel, padding=1).relu()
        h = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    got = features(widths=[2, 2], seed=5)(images(3, 2, 8, 8))
    torch.testing.assert_close(got, h.flatten(1))


def test_weights_keep_the_scale() -> None:
    """He's variance: the mean square of one block's values, before ReLU, is that of its input."""
    net = features(widths=[4000])
    (kernel,) = net._of(channels=3)
    torch.testing.assert_close(kernel.var(), torch.tensor(2 / 27), rtol=0.02, atol=0)
    assert kernel.mean().abs() < 0.002


def test_a_small_shift_counts_less_than_another_image() -> None:
    x = torch.zeros(3, 1, 16, 16)
    x[0, 0, 4:9, 4:9], x[1, 0, 4:9, 5:10], x[2, 0, 10:12, 2:14] = 1, 1, 1
    one, shifted, other = features(widths=[16, 32])(x)
    assert (one - shifted).square().sum() < 0.3 * (one - other).square().sum()


@pytest.mark.parametrize("widths", [[], [4, 0]])
def test_widths_are_checked(widths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"widths must be at least one number of 1 or more, got"):
        features(widths=widths)
