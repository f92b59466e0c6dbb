"""The networks of Burgess et al. 2018 (arXiv:1804.03599, appendix), made for 64×64.

Deviation: other sizes follow the rule of theirs. As many 4×4 stride-2 layers as leave at least 4
pixels on the shorter side: 64 → 4 layers, as in the paper, 32 → 3, 28 → 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import nn

from ganvas.nn.conv import ConvDecoder, ConvEncoder, Norm

if TYPE_CHECKING:
    from ganvas.types import ImageShape

SMALLEST_MAP = 4
"""Pixels on the shorter side of the last feature map, at least."""


def burgess_depth(image_shape: ImageShape) -> int:
    """Number of stride-2 layers.

    Raises:
        ValueError: if an image is under 8 pixels a side.
    """
    side = min(image_shape[1:])
    depth = (side // SMALLEST_MAP).bit_length() - 1
    if depth < 1:
        raise ValueError(
            f"the Burgess networks need images of at least {2 * SMALLEST_MAP} pixels a side, got "
            f"{image_shape[1]}×{image_shape[2]}; set a larger dataset.image_size"
        )
    return depth


class BurgessEncoder(ConvEncoder):
    """Images to vectors: 4×4 stride-2 convolutions of equal width, then dense layers.

    Args:
        image_shape: (C, H, W) from 8 pixels a side.
        num_outputs: width of the result.
        width: feature maps of every convolution.
        hidden: widths of the dense layers before the last one.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
    ) -> None:
        super().__init__(
            image_shape=image_shape,
            num_outputs=num_outputs,
            channels=[width] * burgess_depth(image_shape),
            hidden=hidden,
            activation=activation,
            norm=norm,
        )


class BurgessDecoder(ConvDecoder):
    """Vectors to images, the mirror of `BurgessEncoder`.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result, from 8 pixels a side.
        width: feature maps of every hidden transposed convolution.
        hidden: widths of the dense layers after the code.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
        output: factory of the last activation; None leaves the values unbounded (logits).
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__(
            num_inputs=num_inputs,
            image_shape=image_shape,
            channels=[width] * burgess_depth(image_shape),
            hidden=hidden,
            activation=activation,
            norm=norm,
            output=output,
        )
