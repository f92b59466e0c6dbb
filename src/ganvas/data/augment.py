"""Augmentation of a whole batch at once, as index maps over uint8 images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ganvas.data.order import generator
from ganvas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Augment:
    """What happens to training images.

    Attributes:
        flip: mirror each image left-right with probability ½.
        crop_padding: pad this many pixels on each side by *reflection* and cut the original size
            out again at a random place (He et al. 2016, section 4.2, pad with black instead; a
            generative model would learn the black border).
    """

    flip: bool = False
    crop_padding: int = 0

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self.flip or self.crop_padding > 0


def parse_augment(values: Mapping[str, Any] | None, *, side: int | None = None) -> Augment:
    """`dataset.augment` as an `Augment`.

    Args:
        values: the config node; None means no augmentation.
        side: the shorter side of the images, where it is known.

    Raises:
        ConfigError: an unknown key, a wrong type, a padding below 0 or wider than an image.
    """
    values = {} if values is None else dict(values)
    known = [field.name for field in fields(Augment)]
    for key in values:
        if key not in known:
            raise ConfigError(f"dataset.augment.{key}: no such key; there are {', '.join(known)}")
    augment = Augment(**values)
    if not isinstance(augment.flip, bool):
        raise ConfigError(f"dataset.augment.flip: must be true or false, got {augment.flip!r}")
    padding = augment.crop_padding
    if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
        raise ConfigError(
            f"dataset.augment.crop_padding: must be a whole number of at least 0, got {padding!r}"
        )
    if side is not None and padding >= side:
        raise ConfigError(
            f"dataset.augment.crop_padding: must be below the image side of {side}, got {padding}"
        )
    return augment


def augment_batch(
    images: Tensor, *, augment: Augment, seed: int, step: int, num_global: int, offset: int
) -> Tensor:
    """Flip and crop one rank's images `(b, C, H, W)`.

    The draws are made on the CPU for the global batch from (seed, step) and then cut to
    `[offset, offset + b)`: neither the device nor the number of ranks changes an image.
    """
    num = images.shape[0]
    rng = generator("augment", seed, step)
    mine = slice(offset, offset + num)
    flips = torch.zeros(num, dtype=torch.bool)
    if augment.flip:
        flips = torch.randint(0, 2, (num_global,), generator=rng)[mine].bool()
    if augment.crop_padding == 0:
        mask = flips.to(images.device)[:, None, None, None]
        return torch.where(mask, images.flip(-1), images)
    padding = augment.crop_padding
    shifts = torch.randint(-padding, padding + 1, (num_global, 2), generator=rng)[mine]
    return _gather(images, shifts=shifts, flips=flips)


def _gather(images: Tensor, *, shifts: Tensor, flips: Tensor) -> Tensor:
    """Each image moved by its shift (rows, columns), then mirrored where `flips` says.

    One `gather` over flat pixels: a third to a fifth of the time of indexing rows and columns.
    """
    num, channels, height, width = images.shape
    rows = _reflect(torch.arange(height) + shifts[:, :1], side=height)
    columns = _reflect(torch.arange(width) + shifts[:, 1:], side=width)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    places = (rows[:, :, None] * width + columns[:, None, :]).reshape(num, 1, height * width)
    places = places.to(images.device).expand(num, channels, height * width)
    return images.reshape(num, channels, height * width).gather(2, places).view_as(images)


def _reflect(index: Tensor, *, side: int) -> Tensor:
    """Pixel positions outside [0, side) mirrored at the border pixel, which is not repeated."""
    return (side - 1) - ((side - 1) - index.abs()).abs()
