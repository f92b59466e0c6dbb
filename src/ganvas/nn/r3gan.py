"""R3GAN's networks (Huang et al. 2024, arXiv:2501.05441, sec. 4), for more sizes and widths.

No normalisation; residual blocks that are wide inside, with grouped convolutions, and begin as
identities; bilinear resampling; a learned start map, weighed by a linear function of z.

Deviations: one width for all sizes (as in the paper's networks for up to 32 pixels); sizes double a
smallest map of 4 to 7 pixels, not of 4 alone; half of a bilinear image is the mean of 2×2 pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganvas.nn.hidden import Activation, at_least_one
from ganvas.nn.minibatch_std import minibatch_std_layers
from ganvas.nn.sizes import doubled_sizes

if TYPE_CHECKING:
    from ganvas.types import ImageShape

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Of leaky ReLU: it keeps the second moment of normal values."""
LAYERS_IN_BLOCK = 3


class InvertedBottleneck(nn.Module):
    """h + F(h), F = 1×1 to expansion · width, leaky ReLU, grouped 3×3, leaky ReLU, 1×1 back.

    The start is Fixup's (Zhang et al. 2019, arXiv:1901.09321, sec. 3): the last layer is zero, so
    the block is an identity, and the other m − 1 = 2 are scaled by L^(−1 / (2m − 2)) for L blocks.

    Args:
        width: feature maps outside.
        expansion: feature maps inside, in widths.
        group_width: feature maps of one group of the 3×3 convolution.
        num_blocks: L, of the network.

    Raises:
        ValueError: if the groups do not divide the inner maps.
    """

    def __init__(self, width: int, *, expansion: int, group_width: int, num_blocks: int) -> None:
        super().__init__()
        inner = width * expansion
        if group_width < 1 or inner % group_width:
            raise ValueError(
                f"group_width must divide width · expansion = {inner}, got {group_width}; "
                f"{math.gcd(inner, 16)} does"
            )
        groups = inner // group_width
        self.residual = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(inner, inner, 3, padding=1, groups=groups),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(inner, width, 1, bias=False),
        )
        gain = GAIN * num_blocks ** (-1 / (2 * LAYERS_IN_BLOCK - 2))
        for layer, scale in zip(self.residual[::2], (gain, gain, 0.0), strict=True):
            init_fan_in(layer, gain=scale)

    def forward(self, h: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same shape."""
        return h + self.residual(h)


def init_fan_in(layer: nn.Module, *, gain: float = 1.0) -> nn.Module:
    """The layer itself, with weights from N(0, gain² / fan in) and biases 0."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class StartMap(nn.Module):
    """A learned map, each channel times a linear function of z.

    Args:
        num_inputs: width of z.
        width: feature maps.
        size: side of the map.
    """

    def __init__(self, num_inputs: int, width: int, size: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, size, size))
        self.weights = init_fan_in(nn.Linear(num_inputs, width, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, width, size, size)`."""
        return self.basis * self.weights(z)[..., None, None]


class R3GANGenerator(nn.Module):
    """Noise `(B, num_inputs)` to images `(B, C, H, W)`.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W), square, of 4 to 7 pixels doubled once or more.
        width: feature maps throughout.
        blocks: residual blocks at each size.
        expansion: see `InvertedBottleneck`.
        group_width: see `InvertedBottleneck`.
        output: factory of the last activation.

    Raises:
        ValueError: if the size is not possible, or the groups do not divide the inner maps.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        blocks: int,
        expansion: int,
        group_width: int,
        output: Activation = nn.Identity,
    ) -> None:
        super().__init__()
        sizes = doubled_sizes(image_shape, network="R3GAN")
        at_least_one(width=width, blocks=blocks, expansion=expansion)
        num_blocks = blocks * len(sizes)
        layers: list[nn.Module] = [StartMap(num_inputs, width, sizes[0])]
        for i in range(len(sizes)):
            layers += [nn.Upsample(scale_factor=2, mode="bilinear")] if i else []
            layers += [
                InvertedBottleneck(
                    width, expansion=expansion, group_width=group_width, num_blocks=num_blocks
                )
                for _ in range(blocks)
            ]
        to_image = init_fan_in(nn.Conv2d(width, image_shape[0], 1, bias=False))
        self.layers = nn.Sequential(*layers, to_image, output())

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class R3GANCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    The generator's mirror: it ends with one weight for each channel and place of the smallest map,
    and a linear layer. No bias in it: the relativistic loss sees differences of logits alone.

    Args:
        image_shape: (C, H, W), square, of 4 to 7 pixels doubled once or more.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps throughout.
        blocks: residual blocks at each size.
        expansion: see `InvertedBottleneck`.
        group_width: see `InvertedBottleneck`.
        minibatch_std: group size of `MinibatchStd` at the smallest map; 0 for none.

    Raises:
        ValueError: if the size is not possible, or the groups do not divide the inner maps.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        blocks: int,
        expansion: int,
        group_width: int,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        sizes = doubled_sizes(image_shape, network="R3GAN")
        at_least_one(width=width, blocks=blocks, expansion=expansion)
        num_blocks = blocks * len(sizes)
        layers: list[nn.Module] = [init_fan_in(nn.Conv2d(image_shape[0], width, 1, bias=False))]
        for i in range(len(sizes)):
            layers += [nn.AvgPool2d(2)] if i else []
            layers += [
                InvertedBottleneck(
                    width, expansion=expansion, group_width=group_width, num_blocks=num_blocks
                )
                for _ in range(blocks)
            ]
        extra = minibatch_std_layers(minibatch_std)
        maps = width + len(extra)
        basis = init_fan_in(nn.Conv2d(maps, maps, sizes[0], groups=maps, bias=False))
        last = init_fan_in(nn.Linear(maps, num_outputs, bias=False))
        self.layers = nn.Sequential(*layers, *extra, basis, nn.Flatten(), last)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)
