"""Features of images by a network that is never trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ganvas.nn.noise import keyed_normal

SMALLEST_SIDE = 8
POOLED_SIDE = 2


class RandomFeatures(nn.Module):
    """A small convolutional network with fixed random weights, the same in every run.

    Distances between images survive a random ReLU network about as they are (Giryes et al. 2016,
    arXiv:1504.08291), while small shifts count less than in pixels. Each block is a 3×3
    convolution without bias, N(0, 2 / fan-in) (He et al. 2015), ReLU and a 2×2 mean; at the end
    means over 2×2 regions. Images with a side under 8 pixels, such as 2-D points, are their own
    features.

    Weights are drawn by their own generator on the CPU: the run's random numbers are left alone.

    Args:
        widths: channels of each block.
        seed: of the weights.

    Raises:
        ValueError: if no width is given, or one is under 1.
    """

    def __init__(self, *, widths: Sequence[int], seed: int) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"widths must be at least one number of 1 or more, got {widths}")
        self.widths, self.seed = tuple(widths), seed
        self._kernels: dict[int, list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to features `(B, D)`, D = 4 · the last width."""
        if min(x.shape[2:]) < SMALLEST_SIDE:
            return x.flatten(1)
        x = 2 * x - 1
        for kernel in self._of(channels=x.shape[1]):
            x = F.conv2d(x, kernel.to(x), padding=1).relu()
            x = F.avg_pool2d(x, 2) if min(x.shape[2:]) > POOLED_SIDE else x
        return F.adaptive_avg_pool2d(x, POOLED_SIDE).flatten(1)

    def _of(self, *, channels: int) -> list[Tensor]:
        """The kernels for images of so many channels."""
        if channels not in self._kernels:
            sizes = zip((channels, *self.widths), self.widths, strict=False)
            self._kernels[channels] = [
                keyed_normal((width, fan, 3, 3), self.seed, i, device="cpu")
                * math.sqrt(2 / (9 * fan))
                for i, (fan, width) in enumerate(sizes)
            ]
        return self._kernels[channels]
