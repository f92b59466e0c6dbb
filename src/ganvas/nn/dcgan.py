"""The DCGAN pair (Radford, Metz & Chintala 2016, arXiv:1511.06434), for any size from 8 up.

Deviations: the number of 4×4 stride-2 layers follows from the size (64 → 4 layers, 32 → 3,
28 → 2, ending at 4×4, or at the first odd size), so that no resizing is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from ganvas.types import ImageShape

Norm = Callable[[int], nn.Module]
leaky_relu = partial(nn.LeakyReLU, 0.2, inplace=True)


def dcgan_sizes(image_shape: ImageShape) -> list[int]:
    """Sizes from the image down to the smallest feature map; at least two halvings.

    Raises:
        ValueError: if the image is not square, under 8 pixels, or no multiple of 4.
    """
    _, height, width = image_shape
    if height != width or height < 8 or height % 4:  # noqa: PLR2004
        lower = max(8, height // 4 * 4)
        raise ValueError(
            "the DCGAN networks make square images from 8 pixels in multiples of 4, got "
            f"{height}×{width}; set dataset.image_size to {lower} or {max(8, lower + 4)}"
        )
    sizes = [height, height // 2, height // 4]
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
        norm: factory of a normalisation from the number of channels; None for none.
        activation: factory of the hidden activation.
        output: factory of the last activation.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        width: int,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        output: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        sizes = dcgan_sizes(image_shape)[::-1]
        maps = [width << i for i in range(len(sizes) - 1)][::-1]

        def block(num_maps: int) -> list[nn.Module]:
            return [*([norm(num_maps)] if norm else []), activation()]

        layers: list[nn.Module] = [
            nn.Unflatten(1, (num_inputs, 1, 1)),
            nn.ConvTranspose2d(num_inputs, maps[0], sizes[0], bias=norm is None),
            *block(maps[0]),
        ]
        for num_in, num_out in pairwise(maps):
            layers.append(nn.ConvTranspose2d(num_in, num_out, 4, 2, 1, bias=norm is None))
            layers += block(num_out)
        layers += [nn.ConvTranspose2d(maps[-1], image_shape[0], 4, 2, 1), output()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_dcgan)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`."""
        return self.layers(z)


class DCGANCritic(nn.Module):
    """Images `(B, C, H, W)` to `(B, num_outputs)` unbounded logits.

    Args:
        image_shape: (C, H, W), square, from 8 pixels in multiples of 4.
        num_outputs: width of the result (1 for real against fake).
        width: feature maps of the first layer; each further layer doubles them.
        norm: factory of a normalisation from the number of channels; None for none. The first
            layer has none (sec. 3).
        activation: factory of the hidden activation.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        width: int,
        norm: Norm | None = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = leaky_relu,
    ) -> None:
        super().__init__()
        sizes = dcgan_sizes(image_shape)
        layers: list[nn.Module] = [nn.Conv2d(image_shape[0], width, 4, 2, 1), activation()]
        num_maps = width
        for _ in sizes[2:]:
            layers.append(nn.Conv2d(num_maps, 2 * num_maps, 4, 2, 1, bias=norm is None))
            layers += [*([norm(2 * num_maps)] if norm else []), activation()]
            num_maps *= 2
        layers += [nn.Conv2d(num_maps, num_outputs, sizes[-1]), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.apply(init_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, num_outputs)`."""
        return self.layers(x)
