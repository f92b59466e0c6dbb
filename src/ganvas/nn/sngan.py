"""SNGAN's residual networks (Miyato et al. 2018, arXiv:1802.05957, table 4), for more sizes.

At 32 pixels they are the paper's: three residual blocks that double 4×4, and a critic of two blocks
that halve, two plain ones, and a global sum. Deviations: other sizes double a smallest map of 4 to
7 pixels, and the critic halves until at most 8 are left; a convolution whose bias the batch norm
after it would cancel has none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.hidden import Activation, Norm, at_least_one
from ganvas.nn.minibatch_std import minibatch_std_layers
from ganvas.nn.sizes import doubled_sizes
from ganvas.nn.spectral import spectrally_normalised

if TYPE_CHECKING:
    from ganvas.types import ImageShape

CRITIC_MAP = 8


class UpBlock(nn.Module):
    """Shortcut plus norm, activation, doubling, 3×3, norm, activation, 3×3.

    The shortcut's 1×1 convolution comes before its doubling: the values are the same.

    Args:
        width: feature maps.
        norm: factory of a normalisation from the number of channels; None for none.
        activation: factory of the activation.
    """

    def __init__(self, width: int, *, norm: Norm | None, activation: Activation) -> None:
        super().__init__()
        bias = norm is None
        self.residual = nn.Sequential(
            *([norm(width)] if norm else []),
            activation(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
            *([norm(width)] if norm else []),
            activation(),
            nn.Conv2d(width, width, 3, padding=1, bias=bias),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=bias), nn.Upsample(scale_factor=2)
        )
        init_glorot(self.residual, gain=math.sqrt(2))
        init_glorot(self.shortcut)

    def forward(self, h: Tensor) -> Tensor:
        """`(B, width, H, W)` to `(B, width, 2H, 2W)`."""
        return self.residual(h) + self.shortcut(h)


class DownBlock(nn.Module):
    """Shortcut plus activation, 3×3, activation, 3×3; both are halved by averaging, if at all.

    Args:
        num_inputs: channels of the input; of the image in the first block, which has no activation
            before its first convolution.
        width: feature maps of the result.
        halve: whether the size is halved.
        first: whether it stands at the image.
        activation: factory of the activation.
    """

    def __init__(
        self,
        num_inputs: int,
        width: int,
        *,
        halve: bool,
        first: bool,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *([] if first else [activation()]),
            nn.Conv2d(num_inputs, width, 3, padding=1),
            activation(),
            nn.Conv2d(width, width, 3, padding=1),
            *([nn.AvgPool2d(2)] if halve else []),
        )
        learned: list[nn.Module] = [nn.Conv2d(num_inputs, width, 1)] if halve or first else []
        self.shortcut = nn.Sequential(*([nn.AvgPool2d(2)] if halve else []), *learned)
        init_glorot(self.residual, gain=math.sqrt(2))
        init_glorot(self.shortcut)

    def forward(self, h: Tensor) -> Tensor:
        """`(B, num_inputs, H, W)` to `(B, width, H, W)`, or to half the size."""
        return self.residual(h) + self.shortcut(h)


def init_glorot(network: nn.Module, *, gain: float = 1.0) -> None:
    """Uniform weights of variance gain² · 2 / (fan in + fan out); biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class SNGANGenerator(nn.Module):
    """Noise `(B, num_inputs)` to images `(B, C, H, W)`.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W), square, of 4 to 7 pixels doubled once or more.
        width: feature maps throughout.
        norm: factory of a normalisation from the number of channels; None for none.
        activation: factory of the hidden activation.
        output: factory of the last activation.
        spectral_norm: see `spectrally_normalised`.

    Raises:
        ValueError: if the size is not possible.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = nn.ReLU,
        output: Activation = nn.Tanh,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = doubled_sizes(image_shape, network="SNGAN")
        at_least_one(width=width)
        blocks = [UpBlock(width, norm=norm, activation=activation) for _ in sizes[1:]]
        ends = [
            nn.Linear(num_inputs, width * sizes[0] ** 2),
            nn.Conv2d(width, image_shape[0], 3, padding=1),
        ]
        for end in ends:
            init_glorot(end)
        self.layers = nn.Sequential(
            ends[0],
            nn.Unflatten(1, (width, sizes[0], sizes[0])),
            *blocks,
            *([norm(width)] if norm else []),
            activation(),
            ends[1],
            output(),
        )
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class SNGANCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    The last layer has no bias, as in the authors' code.

    Args:
        image_shape: (C, H, W), square, of 4 to 7 pixels doubled once or more.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps throughout.
        activation: factory of the hidden activation.
        spectral_norm: see `spectrally_normalised`.
        minibatch_std: group size of `MinibatchStd` before the last activation; 0 for none.

    Raises:
        ValueError: if the size is not possible.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        activation: Activation = nn.ReLU,
        spectral_norm: bool = True,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        sizes = doubled_sizes(image_shape, network="SNGAN")[1:]
        at_least_one(width=width)
        halvings = max(1, sum(size > CRITIC_MAP for size in sizes))
        extra = minibatch_std_layers(minibatch_std)
        blocks = [
            DownBlock(
                width if i else image_shape[0],
                width,
                halve=i < halvings,
                first=i == 0,
                activation=activation,
            )
            for i in range(halvings + 2)
        ]
        last = nn.Linear(width + len(extra), num_outputs, bias=False)
        init_glorot(last)
        self.features = nn.Sequential(*blocks, *extra, activation())
        self.last = last
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.last(self.features(x).sum(dim=(2, 3)))
