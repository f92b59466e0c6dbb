"""Squared error, PSNR and SSIM of pairs of images: closed forms, torchmetrics, scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as torchmetrics_psnr,
)
from torchmetrics.functional.image import (
    structural_similarity_index_measure as torchmetrics_ssim,
)

from ganvas.metrics.reconstruction import (
    ROUNDING_MSE,
    mean_and_error,
    pooled_psnr,
    psnr,
    squared_error,
    ssim,
    ssim_window,
)


def pair(*shape: int, seed: int = 0, noise: float = 0.2) -> tuple[Tensor, Tensor]:
    """Smooth images and noisy ones, float64."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(*shape[:2], 4, 4, generator=generator, dtype=torch.float64)
    real = torch.nn.functional.interpolate(low, shape[2:], mode="bilinear", align_corners=False)
    draws = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return real, real + noise * draws


@pytest.mark.parametrize("e", [0.5, 0.1, -0.01])
@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 5, 9)])
def test_a_constant_error(e: float, shape: tuple[int, ...]) -> None:
    real, _ = pair(*shape)
    mse = squared_error(real, real + e)
    assert mse.shape == (2,)
    torch.testing.assert_close(mse, torch.full((2,), e**2, dtype=torch.float64))
    expected = torch.full((2,), -20 * math.log10(abs(e)), dtype=torch.float64)
    torch.testing.assert_close(psnr(mse), expected)


def test_each_image_has_its_own_error() -> None:
    real, fake = pair(3, 2, 4, 5)
    for i, error in enumerate(squared_error(real, fake).tolist()):
        assert error == pytest.approx(float(np.mean((real[i] - fake[i]).numpy() ** 2)), rel=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_is_torchmetrics_and_scikit_images(channels: int) -> None:
    real, fake = pair(4, channels, 12, 10)
    mse = squared_error(real, fake)
    pooled = torchmetrics_psnr(fake, real, data_range=1.0)
    assert pooled_psnr(mse)[0] == pytest.approx(pooled.item(), rel=1e-6)  # its is float32
    each = torchmetrics_psnr(fake, real, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(mse), each, rtol=1e-6, atol=0)
    others = [
        peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1.0)
        for a, b in zip(real, fake, strict=True)
    ]
    torch.testing.assert_close(psnr(mse), torch.tensor(others))


def test_pooled_and_mean_psnr() -> None:
    even, uneven = torch.full((5,), 0.02), torch.tensor([0.0001, 0.04])
    assert pooled_psnr(even)[0] == pytest.approx(psnr(even).mean().item())
    assert psnr(uneven).mean().item() == pytest.approx((40 + 13.9794) / 2, rel=1e-5)
    assert pooled_psnr(uneven)[0] == pytest.approx(-10 * math.log10(0.02005))
    assert pooled_psnr(uneven)[0] < psnr(uneven).mean().item()


def test_an_exact_image_has_infinite_psnr_or_the_floors() -> None:
    exact = torch.zeros(2, dtype=torch.float64)
    assert psnr(exact).tolist() == [math.inf, math.inf]
    assert psnr(exact, least_mse=ROUNDING_MSE)[0].item() == pytest.approx(58.92, abs=0.01)
    assert pooled_psnr(exact) == (math.inf, None)
    assert pooled_psnr(exact, least_mse=ROUNDING_MSE) == pytest.approx((58.92, 0), abs=0.01)
    larger = torch.tensor([ROUNDING_MSE * 1.01])
    assert torch.equal(psnr(larger, least_mse=ROUNDING_MSE), psnr(larger))


def test_the_floor_is_what_rounding_leaves() -> None:
    x = torch.rand(1, 1, 500, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert squared_error(x, (x * 255).round() / 255).item() == pytest.approx(ROUNDING_MSE, rel=0.01)


@pytest.mark.parametrize("shape", [(3, 1, 11, 11), (2, 3, 16, 13), (2, 1, 28, 28)])
def test_ssim_is_scikit_images(shape: tuple[int, ...]) -> None:
    """Of the windows that lie inside the image, 11 × 11 pixels each."""
    real, fake = pair(*shape)
    found = ssim(real, fake)
    assert found.dtype == torch.float64
    for one, other, value in zip(real.numpy(), fake.numpy(), found.tolist(), strict=True):
        expected = structural_similarity(
            one,
            other,
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(3, 1, 11, 11), (2, 3, 16, 13), (2, 1, 28, 28)])
def test_ssim_is_torchmetrics_inside_the_border(shape: tuple[int, ...]) -> None:
    """torchmetrics averages windows around the border's pixels too, over reflected images."""
    real, fake = pair(*shape)
    options = {"data_range": 1.0, "reduction": "none", "return_full_image": True}
    whole, everywhere = torchmetrics_ssim(fake, real, **options)  # type: ignore[arg-type]
    inside = everywhere[:, :, 5:-5, 5:-5].flatten(1).mean(1)
    torch.testing.assert_close(ssim(real, fake), inside, rtol=1e-9, atol=0)
    assert not torch.allclose(ssim(real, fake), whole, rtol=1e-3)


@pytest.mark.parametrize("window", [3, 7])
def test_a_smaller_window_by_double_loop(window: int) -> None:
    real, fake = pair(2, 2, 8, 9)
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    for image, value in zip(range(2), ssim(real, fake, window=window).tolist(), strict=True):
        found = []
        for channel in range(2):
            for row in range(8 - window + 1):
                for column in range(9 - window + 1):
                    place = np.s_[image, channel, row : row + window, column : column + window]
                    x, y = real.numpy()[place], fake.numpy()[place]
                    mx, my = (weights * x).sum(), (weights * y).sum()
                    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                    both = (weights * (x - mx) * (y - my)).sum()
                    upper = (2 * mx * my + 0.01**2) * (2 * both + 0.03**2)
                    found.append(upper / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2)))
        assert value == pytest.approx(np.mean(found), rel=1e-9)


def test_ssim_of_constant_images() -> None:
    """Without variance, the luminance's term alone is left."""
    one, other = torch.full((1, 1, 12, 12), 0.3), torch.full((1, 1, 12, 12), 0.7)
    expected = (2 * 0.21 + 1e-4) / (0.09 + 0.49 + 1e-4)
    assert ssim(one, other).item() == pytest.approx(expected, rel=1e-6)


def test_ssim_is_symmetric_and_one_for_equal_images() -> None:
    real, fake = pair(3, 1, 14, 14)
    torch.testing.assert_close(ssim(real, fake), ssim(fake, real))
    torch.testing.assert_close(ssim(real, real), torch.ones(3, dtype=torch.float64))
    assert (ssim(real, fake) < 0.9).all()


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((1, 8, 8), 7),
        ((1, 7, 30), 7),
        ((3, 9, 9), 9),
        ((3, 10, 64), 9),
        ((1, 11, 11), 11),
        ((1, 28, 28), 11),
        ((1, 6, 28), None),
        ((2, 1, 1), None),
    ],
)
def test_windows(shape: tuple[int, int, int], window: int | None) -> None:
    assert ssim_window(shape) == window


@pytest.mark.parametrize("window", [0, 4, 9])
def test_a_window_that_does_not_fit(window: int) -> None:
    real, fake = pair(1, 1, 8, 8)
    with pytest.raises(ValueError, match=f"odd and from 1 to 8 pixels, got {window}"):
        ssim(real, fake, window=window)


def test_standard_errors() -> None:
    values = torch.rand(50, generator=torch.Generator().manual_seed(2))
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(values.double().mean().item())
    assert error == pytest.approx(float(np.std(values.double().numpy(), ddof=1)) / math.sqrt(50))
    assert mean_and_error(torch.tensor([3.0])) == (3.0, None)
    assert pooled_psnr(torch.tensor([0.1])) == (pytest.approx(10), None)


def test_the_error_of_the_pooled_psnr_is_its_spread_over_samples() -> None:
    generator = torch.Generator().manual_seed(3)
    draws = 0.01 + 0.01 * torch.rand(400, 100, generator=generator, dtype=torch.float64)
    found = [pooled_psnr(draw) for draw in draws]
    spread = float(np.std([value for value, _ in found], ddof=1))
    assert np.mean([error for _, error in found]) == pytest.approx(spread, rel=0.15)  # type: ignore[arg-type]
