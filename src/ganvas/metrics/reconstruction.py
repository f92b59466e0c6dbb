"""How far reconstructions are from their images: squared error, PSNR and SSIM, image by image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganvas.types import ImageShape

WINDOW, LEAST_WINDOW = 11, 7
"""Pixels along a side of SSIM's window: as published, and the fewest that still hold ± 2 σ."""

SIGMA = 1.5
"""Standard deviation of SSIM's window, in pixels."""

C1, C2 = 0.01**2, 0.03**2
"""SSIM's constants (K₁ L)² and (K₂ L)² for the data range L = 1."""

ROUNDING_MSE = 1 / (12 * 255**2)
"""Squared error that rounding to 8 bits leaves on average; its PSNR is 58.9 dB."""


def squared_error(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over pixels and channels of (real − fake)², float64 `(B,)`.

    Args:
        real: images `(B, C, H, W)`.
        fake: their reconstructions, of the same shape.
    """
    return (real.double() - fake.double()).square().flatten(1).mean(1)


def psnr(mse: Tensor, *, least_mse: float = 0.0) -> Tensor:
    """−10 log₁₀ of the squared error per pixel, in dB, for images in [0, 1].

    Args:
        mse: of any shape; one value per image, or one of all images for the pooled PSNR.
        least_mse: smaller errors count as this one; with 0 an exact image has infinite PSNR.
    """
    return -10 * mse.clamp(min=least_mse).log10()


def ssim_window(image_shape: ImageShape) -> int | None:
    """The largest odd window of at most 11 pixels that the image holds; None where 7 are too many.

    Args:
        image_shape: (C, H, W).
    """
    side = min(*image_shape[1:], WINDOW)
    window = side - (side + 1) % 2
    return window if window >= LEAST_WINDOW else None


def ssim(real: Tensor, fake: Tensor, *, window: int = WINDOW) -> Tensor:
    """Structural similarity for a data range of 1, float64 `(B,)` (Wang et al. 2004, eq. 13).

    IEEE TIP 13(4). Means μ and (co)variances σ² of each window are weighted by a Gaussian of
    standard deviation 1.5, cut to the window and normalised; variances are not corrected for N − 1.
    Averaged are the windows that lie wholly in the image, and then channels: as the authors' code
    and scikit-image do. torchmetrics reflects the image at its borders and averages those too.

    Args:
        real: images `(B, C, H, W)` in [0, 1].
        fake: their reconstructions, of the same shape.
        window: side in pixels, odd.

    Raises:
        ValueError: if the window is even, or larger than the images.
    """
    side = min(real.shape[2:])
    if window % 2 == 0 or not 1 <= window <= side:
        raise ValueError(f"window must be odd and from 1 to {side} pixels, got {window}")
    x, y = real.double(), fake.double()
    down, across = (_weights(num, window=window).to(x.device) for num in x.shape[2:])
    mu_x, mu_y, xx, yy, xy = down @ torch.stack([x, y, x * x, y * y, x * y]) @ across.T
    covariance, variances = xy - mu_x * mu_y, xx - mu_x**2 + yy - mu_y**2
    luminance = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    index = luminance * (2 * covariance + C2) / (variances + C2)
    return index.flatten(1).mean(1)


def _weights(num: int, *, window: int) -> Tensor:
    """From `num` pixels to their weighted means in each window, `(num − window + 1, num)`.

    A product with a matrix of bands is several times faster than a convolution on the CPU.
    """
    starts = torch.arange(num - window + 1)[:, None]
    places = torch.arange(num, dtype=torch.float64) - starts - window // 2
    weights = (-0.5 * (places / SIGMA) ** 2).exp() * (places.abs() <= window // 2)
    return weights / weights.sum(1, keepdim=True)


def mean_and_error(values: Tensor) -> tuple[float, float | None]:
    """Mean of `(N,)` values, and its standard error s / √N; None for a single value."""
    num, values = len(values), values.double()
    error = None if num == 1 else values.std().item() / math.sqrt(num)
    return values.mean().item(), error


def pooled_psnr(mse: Tensor, *, least_mse: float = 0.0) -> tuple[float, float | None]:
    """PSNR of the mean of the images' squared errors `(N,)`, at most the mean of their PSNRs.

    Its standard error is that of the mean error times the slope 10 / (ln 10 · mean); None where the
    PSNR is infinite.
    """
    mean, error = mean_and_error(mse)
    mean = max(mean, least_mse)
    value = psnr(torch.tensor(mean, dtype=torch.float64)).item()
    return value, None if error is None or mean == 0 else 10 / math.log(10) * error / mean
