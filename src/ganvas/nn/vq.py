"""Convolutional networks between images and maps of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.conv import halved_sizes

if TYPE_CHECKING:
    from ganvas.types import ImageShape


def check_residual(width: int, num_blocks: int) -> None:
    """Raises ValueError where there would be no feature maps, or less than no blocks."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if num_blocks < 0:
        raise ValueError(f"num_blocks must be at least 0, got {num_blocks}; 0 is none")


def he_normal(network: nn.Module) -> None:
    """Weights of convolutions from N(0, 2 / fan_in), biases zero (He et al. 2015, sec. 2.2).

    Torch's own start shrinks the signal by √6 a layer and leaves the biases to dominate: without a
    dense layer such networks stay at a blank image for hundreds of steps. A transposed convolution
    of stride s meets each output with 1/s² of its kernel.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            share = math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else 1
            fan_in = layer.in_channels * math.prod(layer.kernel_size) / share
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class ResidualBlock(nn.Module):
    """x + conv1×1(a(conv3×3(a(x)))), a the activation.

    Args:
        width: feature maps.
        activation: factory of the activation.
    """

    def __init__(self, width: int, *, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            activation(),
            nn.Conv2d(width, width, 3, padding=1),
            activation(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, h, w)` to the same shape."""
        return x + self.layers(x)


class ResidualMapEncoder(nn.Module):
    """Images to maps of a quarter of their size: strided convolutions, then residual blocks.

    Two 4×4 convolutions of stride 2 and blocks of 3×3 and 1×1 (van den Oord et al. 2017, sec. 4.1),
    then a 1×1 convolution to the width asked for. Weights begin as in `he_normal`.

    Args:
        image_shape: (C, H, W), any size of at least 4; sizes are rounded down.
        num_outputs: width D of the vectors.
        width: feature maps of all layers between.
        num_blocks: residual blocks.
        activation: factory of the activation.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        num_blocks: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        check_residual(width, num_blocks)
        for size in image_shape[1:]:
            halved_sizes(size, 2)
        self.layers = nn.Sequential(
            nn.Conv2d(image_shape[0], width, 4, stride=2, padding=1),
            activation(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            *(ResidualBlock(width, activation=activation) for _ in range(num_blocks)),
            activation(),
            nn.Conv2d(width, num_outputs, 1),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs, H // 4, W // 4)`."""
        return self.layers(x)


class ResidualMapDecoder(nn.Module):
    """Maps to images: a 1×1 convolution, residual blocks, two transposed 4×4 of stride 2.

    The mirror of `ResidualMapEncoder`, with the same start of the weights; odd sizes are met again
    by output padding.

    Args:
        num_inputs: width D of the vectors.
        image_shape: (C, H, W) of the result.
        width: feature maps of all layers between.
        num_blocks: residual blocks.
        activation: factory of the activation.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        num_blocks: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        check_residual(width, num_blocks)
        heights, widths = (halved_sizes(size, 2)[::-1] for size in image_shape[1:])
        first, second = (
            (heights[i + 1] - 2 * heights[i], widths[i + 1] - 2 * widths[i]) for i in range(2)
        )
        self.layers = nn.Sequential(
            nn.Conv2d(num_inputs, width, 1),
            *(ResidualBlock(width, activation=activation) for _ in range(num_blocks)),
            activation(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, output_padding=first),
            activation(),
            nn.ConvTranspose2d(
                width, image_shape[0], 4, stride=2, padding=1, output_padding=second
            ),
        )
        he_normal(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs, H // 4, W // 4)` to `(B, C, H, W)`."""
        return self.layers(z)
