"""The DCGAN pair (Radford, Metz & Chintala 2016, arXiv:1511.06434), for any size from 8 up.

Deviations: the number of 4×4 stride-2 layers follows from the size (64 → 4 layers, 32 → 3,
28 → 2, ending at 4×4, or at the first odd size), so that no resizing is needed.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.hidden import Activation, Norm, following
from ganvas.nn.minibatch_std import minibatch_std_layers
from ganvas.nn.sizes import checked_size
from ganvas.nn.spectral import spectrally_normalised
from ganvas.nn.strided import doubling_conv, halving_conv, warn_of_checkerboards

if TYPE_CHECKING:
    from ganvas.types import ImageShape

leaky_relu = partial(nn.LeakyReLU, 0.2, inplace=True)


def dcgan_sizes(image_shape: ImageShape) -> list[int]:
    """Sizes from the image down to the smallest feature map; at least two halvings.

    Raises:
        ValueError: if the image is not square, under 8 pixels, or no multiple of 4.
    """
    size = checked_size(
        image_shape,
        network="DCGAN",
        rule="from 8 pixels in multiples of 4",
        possible=lambda size: size >= 8 and size % 4 == 0,  # noqa: PLR2004
    )
    sizes = [size, size // 2, size // 4]
    while sizes[-1] % 2 == 0 and sizes[-1] > 4:  # noqa: PLR2004
        sizes.append(sizes[-1] // 2)
    return sizes


def init_dcgan(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), batch-norm scales from N(1, 0.02²), biases 0 (sec. 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class DCGANGenerator(nn.Module):
    """Noise `(B, num_inputs)` to images `(B, C, H, W)`.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W), square, from 8 pixels in multiples of 4.
        width: feature maps before the last layer; each layer further in doubles them.
        kernel_size: of the layers of stride 2.
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
        kernel_size: int = 4,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = nn.ReLU,
        dropout: float = 0.0,
        output: Activation = nn.Tanh,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = dcgan_sizes(image_shape)[::-1]
        maps = [width << i for i in range(len(sizes) - 1)][::-1]
        after = partial(following, norm=norm, activation=activation, dropout=dropout)
        warn_of_checkerboards(kernel_size)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (num_inputs, 1, 1)),
            nn.ConvTranspose2d(num_inputs, maps[0], sizes[0], bias=norm is None),
            *after(maps[0]),
        ]
        for num_in, num_out in pairwise(maps):
            layers.append(doubling_conv(num_in, num_out, kernel_size, bias=norm is None))
            layers += after(num_out)
        layers += [doubling_conv(maps[-1], image_shape[0], kernel_size), output()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_dcgan)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class DCGANCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    Args:
        image_shape: (C, H, W), square, from 8 pixels in multiples of 4.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps of the first layer; each further layer doubles them.
        kernel_size: of the layers of stride 2.
        norm: factory of a normalisation from the number of channels; None for none. The first
            layer has none (sec. 3).
        activation: factory of the hidden activation.
        dropout: share of the hidden values put to 0 in training.
        spectral_norm: see `spectrally_normalised`.
        minibatch_std: group size of `MinibatchStd` before the last layer; 0 for none.

    Raises:
        ValueError: if the size is not possible, or a value is out of its range.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        kernel_size: int = 4,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Activation = leaky_relu,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        sizes = dcgan_sizes(image_shape)
        after = partial(following, activation=activation, dropout=dropout)
        maps = [width << i for i in range(len(sizes) - 1)]
        layers: list[nn.Module] = [halving_conv(image_shape[0], width, kernel_size)]
        layers += after(width, norm=None)
        for num_in, num_out in pairwise(maps):
            layers.append(halving_conv(num_in, num_out, kernel_size, bias=norm is None))
            layers += after(num_out, norm=norm)
        extra = minibatch_std_layers(minibatch_std)
        last = nn.Conv2d(maps[-1] + len(extra), num_outputs, sizes[-1])
        self.layers = nn.Sequential(*layers, *extra, last, nn.Flatten())
        self.apply(init_dcgan)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)
