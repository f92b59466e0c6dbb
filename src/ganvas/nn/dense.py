"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ganvas.types import ImageShape


def mlp(sizes: Sequence[int], *, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between them, none after the last."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(sizes):
        layers += [nn.Linear(num_in, num_out), activation()]
    return nn.Sequential(*layers[:-1])


class DenseEncoder(nn.Module):
    """Images `(B, C, H, W)` to vectors `(B, num_outputs)` through hidden layers.

    Args:
        image_shape: (C, H, W).
        num_outputs: width of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.layers = mlp([math.prod(image_shape), *hidden, num_outputs], activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x.flatten(1))


class DenseDecoder(nn.Module):
    """Vectors `(B, num_inputs)` to images `(B, C, H, W)` through hidden layers.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
        output: factory of the last activation; None leaves the values unbounded (logits).
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.layers = mlp([num_inputs, *hidden, math.prod(image_shape)], activation=activation)
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z)).view(-1, *self.image_shape)
