"""Residual networks with pre-activation (He et al. 2016b, arXiv:1603.05027), for any size.

Deviations: made for small images, so a 3×3 convolution stands at the image, each stage halves the
size (rounding down) before its blocks, and all features go to the last layer, with no pooling over
the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from ganvas.nn.conv import Norm, checked_channels, halved_sizes

if TYPE_CHECKING:
    from ganvas.types import ImageShape

Activation = Callable[[], nn.Module]
Pooling = Literal["average", "max", "stride"]

POOLINGS: dict[str, Callable[[int, bool], nn.Module]] = {
    "average": lambda _, __: nn.AvgPool2d(2),
    "max": lambda _, __: nn.MaxPool2d(2),
    "stride": lambda channels, bias: nn.Conv2d(channels, channels, 4, 2, 1, bias=bias),
}
"""What halves a feature map of so many channels, rounding down; with bias or without."""


def normalised(norm: Norm | None, channels: int, activation: Activation) -> list[nn.Module]:
    """Normalisation, where there is one, and activation."""
    return [*([norm(channels)] if norm else []), activation()]


class ResidualBlock(nn.Module):
    """h + F(h) with F = norm, activation, 3×3, norm, activation, 3×3 (He et al. 2016b, fig. 4e).

    Where the number of channels changes, a 1×1 convolution stands in the place of the bare h. With
    a normalisation no convolution has a bias: the next one would cancel it.

    Args:
        num_inputs: channels of h.
        num_outputs: channels of the result.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
    """

    def __init__(
        self, num_inputs: int, num_outputs: int, *, activation: Activation, norm: Norm | None
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *normalised(norm, num_inputs, activation),
            nn.Conv2d(num_inputs, num_outputs, 3, padding=1, bias=norm is None),
            *normalised(norm, num_outputs, activation),
            nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=norm is None),
        )
        same = num_inputs == num_outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(num_inputs, num_outputs, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """`(B, num_inputs, H, W)` to `(B, num_outputs, H, W)`."""
        return self.shortcut(h) + self.residual(h)


def residual_blocks(
    num_inputs: int, num_outputs: int, *, blocks: int, activation: Activation, norm: Norm | None
) -> list[nn.Module]:
    """The blocks of one stage; the first one changes the number of channels."""
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    widths = [num_inputs, *[num_outputs] * blocks]
    return [ResidualBlock(a, b, activation=activation, norm=norm) for a, b in pairwise(widths)]


class ResNetEncoder(nn.Module):
    """Images to vectors: 3×3 convolution, stages of residual blocks, a dense layer.

    Args:
        image_shape: (C, H, W); any size of at least 2^len(channels).
        num_outputs: width of the result.
        channels: feature maps of each stage; each halves the size, rounding down.
        blocks: residual blocks in each stage.
        pooling: what halves the size: the average or maximum of 2×2 pixels, or a 4×4 convolution
            of stride 2.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.

    Raises:
        ValueError: if the image is too small, or there is no such pooling.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        channels: Sequence[int],
        blocks: int,
        pooling: Pooling,
        activation: Activation = nn.ReLU,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be {', '.join(POOLINGS)}, got {pooling!r}")
        checked_channels(channels)
        num_channels, height, width = image_shape
        last = [halved_sizes(side, len(channels))[-1] for side in (height, width)]
        layers: list[nn.Module] = [
            nn.Conv2d(num_channels, channels[0], 3, padding=1, bias=norm is None)
        ]
        for num_in, num_out in pairwise([channels[0], *channels]):
            layers.append(POOLINGS[pooling](num_in, norm is None))
            layers += residual_blocks(
                num_in, num_out, blocks=blocks, activation=activation, norm=norm
            )
        layers += normalised(norm, channels[-1], activation)
        layers += [nn.Flatten(), nn.Linear(channels[-1] * last[0] * last[1], num_outputs)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)


class ResNetDecoder(nn.Module):
    """Vectors to images: a dense layer, stages of residual blocks, a 3×3 convolution.

    The mirror of `ResNetEncoder`: each stage ends with nearest-neighbour upsampling to the size
    that the encoder had halved, odd sizes included.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result.
        channels: feature maps, from the image side inwards.
        blocks: residual blocks in each stage.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
        output: factory of the last activation; None leaves the values unbounded (logits).

    Raises:
        ValueError: if the image is too small.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        channels: Sequence[int],
        blocks: int,
        activation: Activation = nn.ReLU,
        norm: Norm | None = None,
        output: Activation | None = None,
    ) -> None:
        super().__init__()
        checked_channels(channels)
        heights = halved_sizes(image_shape[1], len(channels))[::-1]
        widths = halved_sizes(image_shape[2], len(channels))[::-1]
        start = (channels[-1], heights[0], widths[0])
        layers: list[nn.Module] = [
            nn.Linear(num_inputs, start[0] * start[1] * start[2]),
            nn.Unflatten(1, start),
        ]
        maps = [channels[0], *channels][::-1]
        for (num_in, num_out), *size in zip(pairwise(maps), heights[1:], widths[1:], strict=True):
            layers += residual_blocks(
                num_in, num_out, blocks=blocks, activation=activation, norm=norm
            )
            layers.append(nn.Upsample(size=tuple(size)))
        layers += normalised(norm, channels[0], activation)
        layers.append(nn.Conv2d(channels[0], image_shape[0], 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z))
