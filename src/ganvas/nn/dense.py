"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.hidden import Activation, Norm, following
from ganvas.nn.spectral import spectrally_normalised

if TYPE_CHECKING:
    from ganvas.types import ImageShape


def mlp(
    sizes: Sequence[int],
    *,
    activation: Activation,
    norm: Norm | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers of the given sizes, the last one bare; see `following` for the others."""
    layers: list[nn.Module] = []
    for num_in, num_out in pairwise(sizes[:-1]):
        layers.append(nn.Linear(num_in, num_out))
        layers += following(num_out, norm=norm, activation=activation, dropout=dropout)
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class DenseEncoder(nn.Module):
    """Images `(B, C, H, W)` to vectors `(B, num_outputs)` through hidden layers.

    Args:
        image_shape: (C, H, W).
        num_outputs: width of the result.
        hidden: widths of the hidden layers, in order.
        activation: factory of the activation.
        norm: factory of a normalisation from the width; None for none.
        dropout: share of the hidden values put to 0 in training.
        spectral_norm: see `spectrally_normalised`.

    Raises:
        ValueError: if the dropout is out of its range.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
        norm: Norm | None = None,
        dropout: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = [math.prod(image_shape), *hidden, num_outputs]
        self.layers = mlp(sizes, activation=activation, norm=norm, dropout=dropout)
        if spectral_norm:
            spectrally_normalised(self)

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
        dropout: share of the hidden values put to 0 in training.
        output: factory of the last activation; None leaves the values unbounded (logits).
        spectral_norm: see `spectrally_normalised`.

    Raises:
        ValueError: if the dropout is out of its range.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        hidden: Sequence[int],
        activation: Activation = nn.ReLU,
        norm: Norm | None = None,
        dropout: float = 0.0,
        output: Activation | None = None,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = [num_inputs, *hidden, math.prod(image_shape)]
        self.layers = mlp(sizes, activation=activation, norm=norm, dropout=dropout)
        self.output = output() if output else nn.Identity()
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.output(self.layers(z)).view(-1, *self.image_shape)
