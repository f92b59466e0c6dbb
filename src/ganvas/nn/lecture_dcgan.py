"""The small DCGAN that lectures teach (Chollet 2018, Deep Learning with Python, sec. 8.5).

For colour images of 32 pixels it is the book's: 6,264,579 and 790,913 parameters with Z = 32,
`width=128`. Deviations: other even sizes from 24 pixels, any number of channels, logits in the
place of the critic's sigmoid, and torch's initial weights in the place of Keras's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganvas.nn.hidden import Activation, at_least_one, dropout_layers
from ganvas.nn.minibatch_std import minibatch_std_layers
from ganvas.nn.sizes import checked_size
from ganvas.nn.spectral import spectrally_normalised
from ganvas.nn.strided import doubling_conv, warn_of_checkerboards

if TYPE_CHECKING:
    from ganvas.types import ImageShape

leaky_relu = partial(nn.LeakyReLU, 0.3)
"""With the slope of Keras."""


def valid_sizes(size: int) -> list[int]:
    """Sides of the critic's maps: 3×3, then three times 4×4 with stride 2, without padding."""
    sizes = [size, size - 2]
    for _ in range(3):
        sizes.append((sizes[-1] - 4) // 2 + 1)
    return sizes


def lecture_size(image_shape: ImageShape) -> int:
    """The side of the image.

    Raises:
        ValueError: if the image is not square, its side not even, or under 24 pixels.
    """
    return checked_size(
        image_shape,
        network="lecture DCGAN",
        rule="of even sizes from 24 pixels",
        possible=lambda size: size % 2 == 0 and min(valid_sizes(size)) > 0,
    )


class LectureGenerator(nn.Module):
    """Noise `(B, num_inputs)` to images `(B, C, H, W)`.

    Dense layer to maps of half the size, 5×5 convolution, 4×4 transposed convolution of stride 2,
    two 5×5 and one 7×7 convolution.

    Args:
        num_inputs: width of the noise.
        image_shape: (C, H, W), square, of an even size from 24 pixels.
        width: feature maps after the dense layer; then twice as many.
        kernel_size: of the transposed convolution.
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
        activation: Activation = leaky_relu,
        dropout: float = 0.0,
        output: Activation = nn.Tanh,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        at_least_one(width=width)
        half, maps = lecture_size(image_shape) // 2, 2 * width
        warn_of_checkerboards(kernel_size)

        def after() -> list[nn.Module]:
            return [activation(), *dropout_layers(dropout)]

        self.layers = nn.Sequential(
            nn.Linear(num_inputs, width * half**2),
            *after(),
            nn.Unflatten(1, (width, half, half)),
            nn.Conv2d(width, maps, 5, padding=2),
            *after(),
            doubling_conv(maps, maps, kernel_size),
            *after(),
            nn.Conv2d(maps, maps, 5, padding=2),
            *after(),
            nn.Conv2d(maps, maps, 5, padding=2),
            *after(),
            nn.Conv2d(maps, image_shape[0], 7, padding=3),
            output(),
        )
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class LectureCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    A 3×3 convolution, three 4×4 ones of stride 2, all without padding (32 → 30 → 14 → 6 → 2),
    dropout, dense layer.

    Args:
        image_shape: (C, H, W), square, of an even size from 24 pixels.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps throughout.
        dropout: share of the last features put to 0 in training.
        activation: factory of the hidden activation.
        spectral_norm: see `spectrally_normalised`.
        minibatch_std: group size of `MinibatchStd` before the dense layer; 0 for none.

    Raises:
        ValueError: if the size is not possible, or a value is out of its range.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        dropout: float,
        activation: Activation = leaky_relu,
        spectral_norm: bool = False,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        at_least_one(width=width)
        last = valid_sizes(lecture_size(image_shape))[-1]
        extra = minibatch_std_layers(minibatch_std)
        layers: list[nn.Module] = [nn.Conv2d(image_shape[0], width, 3), activation()]
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 4, stride=2), activation()]
        layers += [*extra, nn.Flatten(), *dropout_layers(dropout)]
        layers.append(nn.Linear((width + len(extra)) * last**2, num_outputs))
        self.layers = nn.Sequential(*layers)
        if spectral_norm:
            spectrally_normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)
