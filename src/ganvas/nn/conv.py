"""Strided convolutions down, transposed convolutions up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ganvas.types import ImageShape

Norm = Callable[[int], nn.Module]


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu & He 2018), sized as every other: by the number of channels.

    Unlike batch normalisation it leaves images of a batch independent of each other.

    Args:
        num_channels: of the feature maps.
        num_groups: that they are divided into.
    """

    def __init__(self, num_channels: int, *, num_groups: int) -> None:
        super().__init__(num_groups, num_channels)


def hidden_layers(
    hidden: int | Sequence[int] | None, *, num_inputs: int, activation: Callable[[], nn.Module]
) -> tuple[list[nn.Module], int]:
    """Dense layers, each with its activation, and the width that they end in."""
    layers: list[nn.Module] = []
    widths = [] if not hidden else [hidden] if isinstance(hidden, int) else [*hidden]
    for num_in, num_out in pairwise([num_inputs, *widths]):
        layers += [nn.Linear(num_in, num_out), activation()]
    return layers, [num_inputs, *widths][-1]


def checked_channels(channels: Sequence[int]) -> Sequence[int]:
    """`channels` themselves.

    Raises:
        ValueError: if there are none, or one is below 1.
    """
    if not channels or min(channels) < 1:
        raise ValueError(
            f"channels must be one or more widths of at least 1, got {list(channels)}; "
            "each entry halves the image"
        )
    return channels


def halved_sizes(size: int, num_halvings: int) -> list[int]:
    """`[size, size // 2, …]`; raises ValueError where nothing would be left."""
    sizes = [size >> i for i in range(num_halvings + 1)]
    if sizes[-1] < 1:
        raise ValueError(
            f"{num_halvings} halvings need images of at least {1 << num_halvings} pixels a side, "
            f"got {size}; use fewer channels entries or a larger dataset.image_size"
        )
    return sizes


class ConvEncoder(nn.Module):
    """Images to vectors: 4×4 convolutions of stride 2, then a dense layer.

    Args:
        image_shape: (C, H, W); any size of at least 2^len(channels).
        num_outputs: width of the result.
        channels: feature maps of each convolution; each halves the size, rounding down.
        hidden: width or widths of dense layers before the last one; None for none.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        channels: Sequence[int],
        hidden: int | Sequence[int] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        checked_channels(channels)
        num_channels, height, width = image_shape
        layers: list[nn.Module] = []
        for num_in, num_out in pairwise([num_channels, *channels]):
            layers.append(nn.Conv2d(num_in, num_out, 4, stride=2, padding=1))
            layers += [norm(num_out)] if norm else []
            layers.append(activation())
        depth = len(channels)
        num_features = (
            channels[-1] * halved_sizes(height, depth)[-1] * halved_sizes(width, depth)[-1]
        )
        dense, width = hidden_layers(hidden, num_inputs=num_features, activation=activation)
        layers += [nn.Flatten(), *dense, nn.Linear(width, num_outputs)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)


class ConvDecoder(nn.Module):
    """Vectors to images: a dense layer, then 4×4 transposed convolutions of stride 2.

    The mirror of `ConvEncoder`: `channels` are given in the encoder's order (from the image
    inwards), and odd sizes are met again by output padding.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result.
        channels: feature maps, from the image side inwards.
        hidden: width or widths of dense layers after the code; None for none.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
        output: factory of the last activation; None leaves the values unbounded (logits).
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        channels: Sequence[int],
        hidden: int | Sequence[int] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        depth = len(checked_channels(channels))
        heights = halved_sizes(image_shape[1], depth)[::-1]
        widths = halved_sizes(image_shape[2], depth)[::-1]
        start = (channels[-1], heights[0], widths[0])
        layers, width = hidden_layers(hidden, num_inputs=num_inputs, activation=activation)
        layers.append(nn.Linear(width, start[0] * start[1] * start[2]))
        layers += [nn.Unflatten(1, start), activation()]
        maps = [*channels[::-1], image_shape[0]]
        for i, (num_in, num_out) in enumerate(pairwise(maps)):
            padding = (heights[i + 1] - 2 * heights[i], widths[i + 1] - 2 * widths[i])
            layers.append(
                nn.ConvTranspose2d(num_in, num_out, 4, stride=2, padding=1, output_padding=padding)
            )
            if i + 1 < depth:
                layers += [norm(num_out)] if norm else []
                layers.append(activation())
        self.layers = nn.Sequential(*layers)
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z))
