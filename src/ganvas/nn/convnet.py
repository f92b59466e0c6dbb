"""The ConvNet for MNIST of pythae's benchmark (Chadebec et al. 2022, arXiv:2206.08309).

Its encoder is `ganvas.nn.conv.ConvEncoder` with 128, 256, 512 and 1024 channels and batch
normalisation; its decoder is no mirror of that and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.conv import Norm, checked_channels

if TYPE_CHECKING:
    from ganvas.types import ImageShape


class ConvNetDecoder(nn.Module):
    """Vectors to images: a bare dense layer, then 3×3 transposed convolutions of stride 2.

    28 pixels are reached as 4 → 7 → 14 → 28; other sizes are met in the same way, by halving
    them rounding *up* to the first feature map and by output padding on the way back.

    Deviation: pythae's decoder ends in a sigmoid; here the values are logits, and the sigmoid is
    the likelihood's or the loss's.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result.
        channels: feature maps, from the image side inwards; each is enlarged once.
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
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        steps = range(len(checked_channels(channels)), -1, -1)
        heights, widths = ([-(-side // 2**i) for i in steps] for side in image_shape[1:])
        start = (channels[-1], heights[0], widths[0])
        layers: list[nn.Module] = [
            nn.Linear(num_inputs, start[0] * start[1] * start[2]),
            nn.Unflatten(1, start),
        ]
        for i, (num_in, num_out) in enumerate(pairwise([*channels[::-1], image_shape[0]])):
            padding = tuple(s[i + 1] - (2 * s[i] - 1) for s in (heights, widths))
            layers.append(
                nn.ConvTranspose2d(num_in, num_out, 3, stride=2, padding=1, output_padding=padding)
            )
            if i + 1 < len(channels):
                layers += [norm(num_out)] if norm else []
                layers.append(activation())
        self.layers = nn.Sequential(*layers)
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z))
