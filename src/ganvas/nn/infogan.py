"""The InfoGAN network (Chen et al. 2016, arXiv:1606.03657, appendix C.1), as used by others.

It is the network of "Are GANs created equal?" (Lucic et al. 2018, arXiv:1711.10337, sec. 5), for
sizes that are multiples of 4.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.dcgan import init_dcgan
from ganvas.nn.hidden import Activation, Norm, at_least_one, following
from ganvas.nn.minibatch_std import minibatch_std_layers
from ganvas.nn.sizes import checked_size
from ganvas.nn.spectral import spectrally_normalised
from ganvas.nn.strided import doubling_conv, halving_conv, warn_of_checkerboards

if TYPE_CHECKING:
    from ganvas.types import ImageShape

leaky_relu = partial(nn.LeakyReLU, 0.2)


def quarter_size(image_shape: ImageShape) -> int:
    """The side of the smallest maps, a quarter of the image's.

    Raises:
        ValueError: if the image is not square, under 8 pixels, or no multiple of 4.
    """
    size = checked_size(
        image_shape,
        network="InfoGAN",
        rule="from 8 pixels in multiples of 4",
        possible=lambda size: size >= 8 and size % 4 == 0,  # noqa: PLR2004
    )
    return size // 4


def as_maps(num_values: int, layers: list[nn.Module]) -> list[nn.Module]:
    """Layers for feature maps, applied to a vector: each value is a map of one pixel."""
    return [nn.Unflatten(1, (num_values, 1, 1)), *layers, nn.Flatten()]


class InfoGANGenerator(nn.Module):
    """Noise `(B, num_inputs)` to images `(B, C, H, W)`.

    Dense `hidden`, dense 2·width maps of a quarter of the size, two transposed convolutions.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W), square, from 8 pixels in multiples of 4.
        width: feature maps before the last layer, and half of those further in.
        hidden: width of the dense layer.
        kernel_size: of the convolutions, whose stride is 2.
        norm: factory of a normalisation from the number of channels; None for none.
        activation: factory of the hidden activation.
        dropout: share of the hidden values put to 0 in training.
        output: factory of the last activation.
        spectral_norm: see `spectrally_normalised`.

    Raises:
        ValueError: if the size is not possible, or a value is out of its range.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        hidden: int,
        kernel_size: int = 4,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = nn.ReLU,
        dropout: float = 0.0,
        output: Activation = nn.Tanh,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        size, bias = quarter_size(image_shape), norm is None
        at_least_one(width=width, hidden=hidden)
        start = (2 * width, size, size)
        num_values = 2 * width * size**2
        after = partial(following, norm=norm, activation=activation, dropout=dropout)
        warn_of_checkerboards(kernel_size)
        self.layers = nn.Sequential(
            nn.Linear(num_inputs, hidden, bias=bias),
            *as_maps(hidden, after(hidden)),
            nn.Linear(hidden, num_values, bias=bias),
            *as_maps(num_values, after(num_values)),
            nn.Unflatten(1, start),
            doubling_conv(2 * width, width, kernel_size, bias=bias),
            *after(width),
            doubling_conv(width, image_shape[0], kernel_size),
            output(),
        )
        self.apply(init_dcgan)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class InfoGANCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    Two convolutions of stride 2, dense `hidden`, dense `num_outputs`; the first has no norm.

    Args:
        image_shape: (C, H, W), square, from 8 pixels in multiples of 4.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps of the first layer, and half of those of the second.
        hidden: width of the dense layer.
        kernel_size: of the convolutions.
        norm: factory of a normalisation from the number of channels; None for none.
        activation: factory of the hidden activation.
        dropout: share of the hidden values put to 0 in training.
        spectral_norm: see `spectrally_normalised`.
        minibatch_std: group size of `MinibatchStd` before the dense layers; 0 for none.

    Raises:
        ValueError: if the size is not possible, or a value is out of its range.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        hidden: int,
        kernel_size: int = 4,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = leaky_relu,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        size, bias = quarter_size(image_shape), norm is None
        at_least_one(width=width, hidden=hidden)
        after = partial(following, activation=activation, dropout=dropout)
        extra = minibatch_std_layers(minibatch_std)
        self.layers = nn.Sequential(
            halving_conv(image_shape[0], width, kernel_size),
            *after(width, norm=None),
            halving_conv(width, 2 * width, kernel_size, bias=bias),
            *after(2 * width, norm=norm),
            *extra,
            nn.Flatten(),
            nn.Linear((2 * width + len(extra)) * size**2, hidden, bias=bias),
            *as_maps(hidden, after(hidden, norm=norm)),
            nn.Linear(hidden, num_outputs),
        )
        self.apply(init_dcgan)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)
