"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ganvas.types import ImageShape

Norm = Callable[[int], nn.Module]


def mlp(
    sizes: Sequence[int], *, activation: Callable[[], nn.Module], norm: Norm | None = None
) -> nn.Sequential:
    """Linear layers of the given sizes, the last one bare.

    After each of the others come the normalisation, where there is one, and the activation.
    """
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(sizes[:-1]):
        layers.append(nn.Linear(num_in, num_out))
        layers += [norm(num_out)] if norm else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class DenseEncoder(nn.Module):
    """Images `(B, C, H, W)` to vectors `(B, num_outputs)` through hidden layers.

    Args:
        image_shape: (C, H, W).
        num_outputs: width of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
        norm: factory of a normalisation from the width; None for none.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        sizes = [math.prod(image_shape), *hidden, num_outputs]
        self.layers = mlp(sizes, activation=activation, norm=norm)

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
        norm: factory of a normalisation from the width; None for none.
        output: factory of the last activation; None leaves the values unbounded (logits).
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = [num_inputs, *hidden, math.prod(image_shape)]
        self.layers = mlp(sizes, activation=activation, norm=norm)
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z)).view(-1, *self.image_shape)
