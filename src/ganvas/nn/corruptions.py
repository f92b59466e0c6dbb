"""What a denoising autoencoder does to its input: pure functions of an image and its noise.

Images are `(B, C, H, W)` in [0, 1]; the noise is standard normal, of the same shape, and comes
from the model, so that a corruption can be drawn again. `GrayscaleCorruption` and
`DownsampleCorruption` are deterministic and turn the same autoencoder into one that colours images
or enlarges them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from statistics import NormalDist

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
