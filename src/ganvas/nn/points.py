"""Fully connected networks for points in a plane, which travel as images of shape (2, 1, 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.dense import mlp

if TYPE_CHECKING:
    from ganvas.types import ImageShape


class PointGenerator(nn.Module):
    """Noise `(B, num_inputs)` to points `(B, C, H, W)`: a bare last layer, divided by `scale`.

    Images of a GAN are in [−1, 1], and the modes of a mixture there are 0.01 wide; dense layers
    resolve them sooner in larger coordinates, such as those of the plane itself.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W) of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
        scale: what 1 stands for inside the network.

    Raises:
        ValueError: if the scale is not positive.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module],
        scale: float,
    ) -> None:
        super().__init__()
        self.image_shape, self.scale = tuple(image_shape), checked_scale(scale)
        self.layers = mlp([num_inputs, *hidden, math.prod(image_shape)], activation=activation)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return (self.layers(z) / self.scale).view(-1, *self.image_shape)


class PointCritic(nn.Module):
    """Points `(B, C, H, W)` to `(B, num_outputs)` unbounded logits; see `PointGenerator`.

    Args:
        image_shape: (C, H, W).
        num_outputs: width of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
        scale: what 1 stands for inside the network.

    Raises:
        ValueError: if the scale is not positive.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module],
        scale: float,
    ) -> None:
        super().__init__()
        self.scale = checked_scale(scale)
        self.layers = mlp([math.prod(image_shape), *hidden, num_outputs], activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(self.scale * x.flatten(1))


def checked_scale(scale: float) -> float:
    """Refuse a scale that is not positive.

    Raises:
        ValueError: naming the value.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive, got {scale}; 1 leaves values as they are")
    return scale
