"""What a denoising autoencoder does to its input: pure functions of an image and its noise.

Images are `(B, C, H, W)` in [0, 1]; the noise is standard normal, of the same shape, and comes
from the model, so that a corruption can be drawn again. `GrayscaleCorruption` and
`DownsampleCorruption` are deterministic and turn the same autoencoder into one that colours images
or enlarges them; with `BlockMaskCorruption` it fills holes.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ganvas.types import ImageShape

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness (ITU-R BT.601)."""


class Corruption(ABC):
    """Abstract: images and noise to corrupted images; the same for the same noise."""

    @abstractmethod
    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] and normal noise of that shape to corrupted images."""

    def __str__(self) -> str:
        """In words, with its numbers: "salt and pepper (probability 0.25)"."""
        name = type(self).__name__.removesuffix("Corruption")
        words = re.sub("(?<=.)(?=[A-Z])", " ", name).lower()
        numbers = {k: v for k, v in vars(self).items() if isinstance(v, int | float)}
        said = ", ".join(f"{key} {value:g}" for key, value in numbers.items())
        return f"{words} ({said})" if said else words


class GaussianCorruption(Corruption):
    """x + std · noise (Vincent et al. 2010, JMLR 11, sec. 3.3).

    As there, the sum is not clamped: corrupted pixels leave [0, 1], and the noise stays unbiased.

    Args:
        std: standard deviation in pixel units (1 = full range).

    Raises:
        ValueError: if std is negative.
    """

    def __init__(self, *, std: float) -> None:
        if std < 0:
            raise ValueError(f"std must be at least 0, got {std}; 0.5 is half the pixel range")
        self.std = std

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        return x + self.std * noise


class MaskingCorruption(Corruption):
    """Each value is set to 0 with a given probability (Vincent et al. 2008, sec. 2.3).

    Deviation: values fall independently; in the paper a fixed share of each image does. The
    channels of a pixel fall apart from each other.

    Args:
        probability: that a value is lost.

    Raises:
        ValueError: if probability is outside [0, 1].
    """

    def __init__(self, *, probability: float) -> None:
        self.probability = _checked_probability(probability)

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        return x.masked_fill(noise < _normal_quantile(self.probability), 0.0)


class SaltAndPepperCorruption(Corruption):
    """Each value is, with a given probability, set to 0 or 1 by a fair coin (Vincent et al. 2010).

    Deviation: values fall independently; in the paper a fixed share of each image does.

    Args:
        probability: that a value is lost; half of the lost ones turn 0, the other half 1.

    Raises:
        ValueError: if probability is outside [0, 1].
    """

    def __init__(self, *, probability: float) -> None:
        self.probability = _checked_probability(probability)

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        tail = _normal_quantile(self.probability / 2)
        return x.masked_fill(noise < tail, 0.0).masked_fill(noise > -tail, 1.0)


class BlockMaskCorruption(Corruption):
    """A square hole in each image, all its places equally likely: to be filled (inpainting).

    The first two numbers n of an image's noise say where: Φ(n) is uniform on [0, 1]. As Pathak et
    al. 2016 (arXiv:1604.07379, sec. 3.3), who cut the centre or several blocks; one block here.

    Args:
        side: of the hole, as a part of the image's shorter side; rounded to whole pixels.
        fill: value of all channels inside.
        image_shape: (C, H, W).

    Raises:
        ValueError: if the hole is nothing or everything, or fill is outside [0, 1].
    """

    def __init__(self, *, side: float, fill: float, image_shape: ImageShape) -> None:
        height, width = image_shape[1:]
        shorter = min(height, width)
        pixels = round(side * shorter) if 0 < side < 1 else 0
        if not 1 <= pixels < max(height, width):
            raise ValueError(
                f"side must be in (0, 1) and at least one pixel of images of {height}×{width}, "
                f"got {side}; 0.5 is a hole of {max(1, shorter // 2)} pixels a side"
            )
        if not 0 <= fill <= 1:
            raise ValueError(f"fill must be in [0, 1], got {fill}; 0.5 is grey")
        self.side, self.fill = pixels, fill

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class."""
        share = torch.special.ndtr(noise.flatten(1)[:, :2].float())
        rows = self._hole(share[:, 0], x.shape[2])
        columns = self._hole(share[:, 1], x.shape[3])
        return x.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], self.fill)

    def _hole(self, share: Tensor, length: int) -> Tensor:
        """Which of `length` places `(B, length)` are in the hole, for uniform shares `(B,)`."""
        starts = length - self.side + 1
        first = (share * starts).floor().clamp(max=starts - 1)[:, None]
        place = torch.arange(length, device=share.device)
        return (first <= place) & (place < first + self.side)


class GrayscaleCorruption(Corruption):
    """Brightness 0.299 R + 0.587 G + 0.114 B in all three channels: to be coloured again.

    Args:
        image_shape: (C, H, W).

    Raises:
        ValueError: if images have no three channels.
    """

    def __init__(self, *, image_shape: ImageShape) -> None:
        if image_shape[0] != len(LUMA):
            raise ValueError(
                f"images must have 3 channels (red, green, blue) to lose their colours, "
                f"got {image_shape[0]}; choose another corruption or a colour dataset"
            )

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class; the noise does not matter."""
        del noise
        luma = (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return luma.expand_as(x)


class DownsampleCorruption(Corruption):
    """Means over factor×factor pixels, each repeated to the old size: to be made sharp again.

    Args:
        factor: pixels per mean along each side.
        image_shape: (C, H, W).

    Raises:
        ValueError: if factor is under 2 or doesn't divide height and width.
    """

    def __init__(self, *, factor: int, image_shape: ImageShape) -> None:
        height, width = image_shape[1:]
        if factor < 2 or height % factor or width % factor:  # noqa: PLR2004
            side = math.gcd(height, width)
            fitting = [str(f) for f in range(2, side + 1) if side % f == 0]
            remedy = f"choose one of {', '.join(fitting)}" if fitting else "change the image size"
            raise ValueError(
                f"factor must be at least 2 and divide images of {height}×{width}, "
                f"got {factor}; {remedy}"
            )
        self.factor = factor

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """See the class; the noise does not matter."""
        del noise
        small = F.avg_pool2d(x, self.factor)
        return small.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3)


def _checked_probability(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise ValueError(
            f"probability must be in [0, 1], got {probability}; 0.25 loses a quarter of the values"
        )
    return probability


def _normal_quantile(probability: float) -> float:
    """The value that standard normal noise stays below with this probability; ±∞ at the ends."""
    if 0 < probability < 1:
        return NormalDist().inv_cdf(probability)
    return math.inf if probability else -math.inf
