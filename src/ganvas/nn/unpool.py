"""Pooling down with the places remembered, unpooling up to where they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ganvas.nn.conv import checked_channels

if TYPE_CHECKING:
    from ganvas.types import ImageShape

Norm = Callable[[int], nn.Module]
POOLINGS = ("max", "average")


def pooled_sizes(size: int, num_poolings: int) -> list[int]:
    """`[size, ⌈size / 2⌉, …]`: sizes rounded up, so that no pixel is left out."""
    return [-(-size >> i) for i in range(num_poolings + 1)]


def unpool(x: Tensor, indices: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Values `(B, C, h, w)` put at `indices`, zeros elsewhere, `(B, C, *size)`.

    Args:
        x: values.
        indices: place of each value in its flattened map, as `max_pool2d` returns it.
        size: (height, width) of the result.

    Raises:
        ValueError: if there is not one index for each value.
    """
    if indices.shape != x.shape:
        raise ValueError(
            f"indices must have the shape {tuple(x.shape)} of the values, got "
            f"{tuple(indices.shape)}; give encoder and decoder the same channels"
        )
    empty = x.new_zeros(*x.shape[:2], size[0] * size[1])
    return empty.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, size)


def checked_pooling(pooling: str) -> str:
    """`pooling` itself.

    Raises:
        ValueError: if it is neither "max" nor "average".
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be {' or '.join(POOLINGS)}, got {pooling}")
    return pooling


class PoolEncoder(nn.Module):
    """Images to vectors: 3×3 convolutions, each followed by 2×2 pooling; then a dense layer.

    Args:
        image_shape: (C, H, W), any size.
        num_outputs: width of the result.
        channels: feature maps of each convolution; each pooling halves the size, rounding up.
        pooling: "max" or "average".
        hidden: width of a dense layer before the last one; None for none.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.

    Raises:
        ValueError: for another pooling.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        num_outputs: int,
        channels: Sequence[int],
        pooling: str,
        hidden: int | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
    ) -> None:
        super().__init__()
        self.pooling = checked_pooling(pooling)
        maps = [image_shape[0], *checked_channels(channels)]
        self.stages = nn.ModuleList(
            _stage(num_in, num_out, activation=activation, norm=norm)
            for num_in, num_out in pairwise(maps)
        )
        height, width = (pooled_sizes(size, len(channels))[-1] for size in image_shape[1:])
        num_features = maps[-1] * height * width
        layers: list[nn.Module] = [nn.Flatten()]
        if hidden:
            layers += [nn.Linear(num_features, hidden), activation()]
        self.head = nn.Sequential(*layers, nn.Linear(hidden or num_features, num_outputs))

    def forward(
        self, x: Tensor, *, return_indices: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """`(B, C, H, W)` to `(B, num_outputs)`; with `return_indices` as `code_and_indices`."""
        indices: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            if self.pooling == "max":
                x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
                indices.append(places)
            else:
                x = F.avg_pool2d(x, 2, ceil_mode=True)
        code = self.head(x)
        return (code, indices) if return_indices else code

    def code_and_indices(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Code `(B, num_outputs)`, and of each stage where its maxima were, `(B, C_i, h_i, w_i)`.

        Average pooling remembers nothing: an empty list.
        """
        return self(x, return_indices=True)


class UnpoolDecoder(nn.Module):
    """Vectors to images: a dense layer, then unpooling and a 3×3 convolution per stage.

    The mirror of `PoolEncoder`; `channels` are given in the encoder's order (from the image
    inwards). Max pooling is undone by the encoder's indices: each value goes to the place where it
    was found, all other places are zero. Without indices it goes to the top left of its 2×2
    window. Average pooling is undone by repeating each value over its window.

    Args:
        num_inputs: width of the code.
        image_shape: (C, H, W) of the result.
        channels: feature maps, from the image side inwards.
        pooling: "max" or "average", as in the encoder.
        hidden: width of a dense layer after the code; None for none.
        activation: factory of the activation.
        norm: factory of a normalisation from the number of channels; None for none.
        output: factory of the last activation; None leaves the values unbounded (logits).

    Raises:
        ValueError: for another pooling.
    """

    def __init__(
        self,
        *,
        num_inputs: int,
        image_shape: ImageShape,
        channels: Sequence[int],
        pooling: str,
        hidden: int | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
        norm: Norm | None = None,
        output: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.pooling = checked_pooling(pooling)
        maps = [*checked_channels(channels)[::-1], image_shape[0]]
        heights, widths = (pooled_sizes(size, len(channels))[::-1] for size in image_shape[1:])
        self.sizes = list(zip(heights, widths, strict=True))[1:]
        start = (maps[0], heights[0], widths[0])
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Linear(num_inputs, hidden), activation()]
        layers.append(nn.Linear(hidden or num_inputs, start[0] * start[1] * start[2]))
        self.head = nn.Sequential(*layers, nn.Unflatten(1, start), activation())
        *inner, last = pairwise(maps)
        stages = [_stage(*pair, activation=activation, norm=norm) for pair in inner]
        self.stages = nn.ModuleList([*stages, nn.Conv2d(*last, 3, padding=1)])
        self.output = output() if output else nn.Identity()

    def forward(self, z: Tensor, indices: Sequence[Tensor] | None = None) -> Tensor:
        """`(B, num_inputs)` to `(B, C, H, W)`.

        Args:
            z: codes.
            indices: of the encoder, in its order; None for the top left of each window.
        """
        x = self.head(z)
        places: Sequence[Tensor | None] = indices[::-1] if indices else [None] * len(self.sizes)
        for stage, size, where in zip(self.stages, self.sizes, places, strict=True):
            x = stage(self._enlarged(x, where, size))
        return self.output(x)

    def _enlarged(self, x: Tensor, indices: Tensor | None, size: tuple[int, int]) -> Tensor:
        if self.pooling == "average":
            return F.interpolate(x, scale_factor=2.0)[..., : size[0], : size[1]]
        if indices is not None:
            return unpool(x, indices, size=size)
        large = x.new_zeros(*x.shape[:2], *size)
        large[..., ::2, ::2] = x
        return large


def _stage(
    num_in: int, num_out: int, *, activation: Callable[[], nn.Module], norm: Norm | None
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(num_in, num_out, 3, padding=1)]
    layers += [norm(num_out)] if norm else []
    return nn.Sequential(*layers, activation())
