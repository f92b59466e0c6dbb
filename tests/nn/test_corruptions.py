"""Corruptions: pure, at the rate asked for, and refused where the images don't allow them."""

from __future__ import annotations

import math

import pytest
import torch

from ganvas.nn.corruptions import (
    BlockMaskCorruption,
    Corruption,
    DownsampleCorruption,
    GaussianCorruption,
    GrayscaleCorruption,
    MaskingCorruption,
    SaltAndPepperCorruption,
)

SHAPE = (3, 8, 12)
ALL = [
    GaussianCorruption(std=0.5),
    MaskingCorruption(probability=0.3),
    SaltAndPepperCorruption(probability=0.3),
    BlockMaskCorruption(side=0.4, fill=0.5, image_shape=SHAPE),
    GrayscaleCorruption(image_shape=SHAPE),
    DownsampleCorruption(factor=2, image_shape=SHAPE),
]


@pytest.fixture
def images() -> torch.Tensor:
    """No pixel is exactly 0 or 1."""
    torch.manual_seed(0)
    return 0.1 + 0.8 * torch.rand(200, *SHAPE)


@pytest.fixture
def noise() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(200, *SHAPE)


def name(corruption: object) -> str:
    return type(corruption).__name__


@pytest.mark.parametrize("corruption", ALL, ids=name)
def test_it_is_a_pure_function_of_each_image_and_its_noise(
    corruption: Corruption, images: torch.Tensor, noise: torch.Tensor
) -> None:
    kept, state = images.clone(), torch.get_rng_state()
    made = corruption(images, noise)
    assert made.shape == images.shape
    assert made.dtype == images.dtype
    assert not torch.equal(made, images)
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(corruption(images, noise), made)
    assert torch.equal(corruption(images[3:5], noise[3:5]), made[3:5])


@pytest.mark.parametrize("corruption", ALL, ids=name)
def test_it_passes_the_meta_device_and_half_precision(corruption: Corruption) -> None:
    empty = torch.empty(2, *SHAPE, device="meta")
    assert corruption(empty, empty).shape == empty.shape
    half = torch.rand(2, *SHAPE, dtype=torch.bfloat16)
    assert corruption(half, half).dtype == torch.bfloat16


@pytest.mark.parametrize("corruption", ALL, ids=name)
def test_other_noise_matters_where_there_is_chance(
    corruption: Corruption, images: torch.Tensor, noise: torch.Tensor
) -> None:
    fixed = isinstance(corruption, GrayscaleCorruption | DownsampleCorruption)
    same = torch.equal(corruption(images, noise), corruption(images, noise.flip(0)))
    assert same == fixed


def test_gaussian_adds_unclamped_noise(images: torch.Tensor, noise: torch.Tensor) -> None:
    made = GaussianCorruption(std=0.5)(images, noise)
    torch.testing.assert_close(made - images, 0.5 * noise)
    assert made.min() < 0
    assert made.max() > 1
    assert torch.equal(GaussianCorruption(std=0.0)(images, noise), images)


def share(lost: torch.Tensor, probability: float) -> None:
    """The share of lost values, within four standard errors."""
    error = math.sqrt(probability * (1 - probability) / lost.numel())
    assert abs(lost.float().mean().item() - probability) <= 4 * error


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.25, 0.5, 0.9, 1.0])
def test_masking_loses_that_share(
    images: torch.Tensor, noise: torch.Tensor, probability: float
) -> None:
    made = MaskingCorruption(probability=probability)(images, noise)
    share(made == 0, probability)
    assert torch.equal(made[made != 0], images[made != 0])
    assert not torch.equal(made[:, 0] == 0, made[:, 1] == 0) or probability in (0, 1)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.25, 0.5, 0.9, 1.0])
def test_salt_and_pepper_come_in_equal_shares(
    images: torch.Tensor, noise: torch.Tensor, probability: float
) -> None:
    made = SaltAndPepperCorruption(probability=probability)(images, noise)
    share(made == 0, probability / 2)
    share(made == 1, probability / 2)
    kept = (made != 0) & (made != 1)
    assert torch.equal(made[kept], images[kept])


def test_certain_and_impossible_losses_hold_for_any_noise() -> None:
    x = torch.full((1, 1, 1, 3), 0.5)
    extreme = torch.tensor([-9.0, 9.0, 1e-30]).view(1, 1, 1, 3)
    assert torch.equal(MaskingCorruption(probability=1)(x, extreme), torch.zeros_like(x))
    assert torch.equal(MaskingCorruption(probability=0)(x, extreme), x)
    assert SaltAndPepperCorruption(probability=1)(x, extreme).flatten().tolist() == [0, 1, 1]
    assert torch.equal(SaltAndPepperCorruption(probability=0)(x, extreme), x)


def test_a_block_is_one_square_in_all_channels_and_all_places_are_equally_likely() -> None:
    num, places = 9000, (6, 10)  # of a hole of 3 in 8×12
    x = torch.full((num, *SHAPE), 0.25)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    lost = BlockMaskCorruption(side=0.4, fill=0.75, image_shape=SHAPE)(x, noise) != x
    assert torch.equal(lost[:, 0], lost[:, 1])
    assert torch.equal(lost[:, 0], lost[:, 2])
    top, left = (lost[:, 0].any(axis).int().argmax(1) for axis in (2, 1))
    expected = torch.zeros_like(lost)
    for i in range(num):
        expected[i, :, top[i] : top[i] + 3, left[i] : left[i] + 3] = True
    assert torch.equal(lost, expected)
    counts = torch.bincount(top * places[1] + left, minlength=60).float()
    chi_squared = ((counts - num / 60).square() / (num / 60)).sum().item()
    assert abs(chi_squared - 59) <= 4 * math.sqrt(2 * 59)


@pytest.mark.parametrize("extreme", [-math.inf, -40.0, 40.0, math.inf])
def test_a_block_stays_inside_for_any_noise(extreme: float) -> None:
    x = torch.full((1, *SHAPE), 0.25)
    block = BlockMaskCorruption(side=0.4, fill=1.0, image_shape=SHAPE)
    made = block(x, torch.full_like(x, extreme))
    corner = made[..., :3, :3] if extreme < 0 else made[..., -3:, -3:]
    assert torch.equal(corner, torch.ones_like(corner))
    assert (made != x).sum() == 27


def test_a_corruption_says_its_name_and_numbers() -> None:
    assert [str(one) for one in ALL] == [
        "gaussian (std 0.5)",
        "masking (probability 0.3)",
        "salt and pepper (probability 0.3)",
        "block mask (side 3, fill 0.5)",
        "grayscale",
        "downsample (factor 2)",
    ]


def test_grayscale_is_brightness_in_all_channels(images: torch.Tensor, noise: torch.Tensor) -> None:
    made = GrayscaleCorruption(image_shape=SHAPE)(images, noise)
    red, green, blue = images.unbind(1)
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    for channel in made.unbind(1):
        torch.testing.assert_close(channel, expected)
    torch.testing.assert_close(GrayscaleCorruption(image_shape=SHAPE)(made, noise), made)
    primaries = torch.eye(3).view(3, 3, 1, 1).expand(3, *SHAPE)
    levels = GrayscaleCorruption(image_shape=SHAPE)(primaries, primaries)[:, 0, 0, 0]
    torch.testing.assert_close(levels, torch.tensor([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("factor", [2, 4])
def test_downsampling_takes_patch_means_by_a_double_loop(
    images: torch.Tensor, noise: torch.Tensor, factor: int
) -> None:
    made = DownsampleCorruption(factor=factor, image_shape=SHAPE)(images, noise)
    expected = torch.empty_like(images)
    for i in range(0, SHAPE[1], factor):
        for j in range(0, SHAPE[2], factor):
            patch = (..., slice(i, i + factor), slice(j, j + factor))
            expected[patch] = images[patch].mean((2, 3), keepdim=True)
    torch.testing.assert_close(made, expected)
    again = DownsampleCorruption(factor=factor, image_shape=SHAPE)(made, noise)
    torch.testing.assert_close(again, made)


@pytest.mark.parametrize("kind", [MaskingCorruption, SaltAndPepperCorruption])
@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_a_probability_outside_0_to_1_is_refused(
    kind: type[MaskingCorruption] | type[SaltAndPepperCorruption], probability: float
) -> None:
    with pytest.raises(ValueError, match=rf"probability must be in \[0, 1\], got {probability}; "):
        kind(probability=probability)


def test_a_negative_std_is_refused() -> None:
    with pytest.raises(ValueError, match=r"std must be at least 0, got -0\.5; "):
        GaussianCorruption(std=-0.5)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grayscale_needs_colours(channels: int) -> None:
    with pytest.raises(ValueError, match=rf"3 channels .*, got {channels}; choose another"):
        GrayscaleCorruption(image_shape=(channels, 8, 8))


@pytest.mark.parametrize(
    ("factor", "shape", "remedy"),
    [
        (3, (1, 28, 28), "choose one of 2, 4, 7, 14, 28"),
        (1, (1, 8, 12), "choose one of 2, 4"),
        (0, (1, 8, 8), "choose one of 2, 4, 8"),
        (-2, (1, 8, 8), "choose one of 2, 4, 8"),
        (2, (1, 7, 9), "change the image size"),
    ],
)
def test_a_factor_that_does_not_divide_is_refused(
    factor: int, shape: tuple[int, int, int], remedy: str
) -> None:
    size = f"{shape[1]}×{shape[2]}"
    with pytest.raises(ValueError, match=f"factor must .* {size}, got {factor}; {remedy}"):
        DownsampleCorruption(factor=factor, image_shape=shape)


@pytest.mark.parametrize("side", [-0.1, 0.0, 0.05, 1.0, 3, math.nan])
def test_a_hole_that_is_nothing_or_everything_is_refused(side: float) -> None:
    with pytest.raises(ValueError, match=rf"side must .* 8×8, got {side}; 0\.5 is a hole of 4 "):
        BlockMaskCorruption(side=side, fill=0.5, image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"side must .* got 0\.99; "):  # rounds to the whole image
        BlockMaskCorruption(side=0.99, fill=0.5, image_shape=(1, 8, 8))


@pytest.mark.parametrize("fill", [-0.1, 1.1, math.nan])
def test_a_fill_outside_0_to_1_is_refused(fill: float) -> None:
    with pytest.raises(ValueError, match=rf"fill must be in \[0, 1\], got {fill}; 0\.5 is grey"):
        BlockMaskCorruption(side=0.4, fill=fill, image_shape=SHAPE)
