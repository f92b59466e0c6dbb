"""Grey images made black and white, as models of binary pixels want them.

All draws are made on the CPU in whole numbers: neither the kind of device nor the number of ranks
changes an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from ganvas.data.order import generator
from ganvas.errors import ConfigError

Binarization = Literal["dynamic", "threshold"]
"""How pixels become 0 or 255.

- "dynamic": white with the probability that the grey value is, drawn anew each time a training
  image is seen (Salakhutdinov & Murray 2008; Burda et al. 2016); drawn once for each image that is
  evaluated.
- "threshold": white where the grey value is above ½.
"""

THRESHOLD = 127
"""The last value that is not above ½."""

BLOCK = 64
"""Images of a split whose draws in evaluation have one key."""


def checked_binarization(value: str | None) -> Binarization | None:
    """`dataset.binarization`.

    Raises:
        ConfigError: if there is no such way.
    """
    if value is not None and value not in get_args(Binarization):
        raise ConfigError(
            f"dataset.binarization: must be dynamic or threshold, got {value!r}; "
            "leave it null for grey pixels"
        )
    return cast("Binarization | None", value)


def check_binarizable(pixels: np.ndarray, how: Binarization | None) -> None:
    """Refuse what is no grey image of 8 bits.

    Raises:
        ConfigError: if pixels of another type should become black and white.
    """
    if how is not None and pixels.dtype != np.uint8:
        raise ConfigError(
            f"dataset.binarization: must be null for data of {pixels.dtype}, got {how!r}"
        )


def binarized(pixels: Tensor, how: Binarization | None, *, draws: Callable[[], Tensor]) -> Tensor:
    """uint8 pixels to 255 where they are above a limit, and to 0 elsewhere; as they are for None.

    The limit is 127, or a draw for each pixel, uniform over 0, …, 254, so that exactly x of 255
    draws make a pixel x white.
    """
    if how is None:
        return pixels
    limit = draws().to(pixels.device) if how == "dynamic" else THRESHOLD
    return (pixels > limit).to(torch.uint8).mul_(255)


def training_draws(pixels: Tensor, *, seed: int, step: int, num_global: int, offset: int) -> Tensor:
    """Draws for one rank's images `(b, C, H, W)`: of the global batch, from (seed, step), cut."""
    return _draws((num_global, *pixels.shape[1:]), seed, step)[offset : offset + len(pixels)]


def evaluation_draws(pixels: Tensor, *, start: int) -> Tensor:
    """Draws for the images `(b, C, H, W)` that stand in a split from position `start` on.

    A function of the position alone: seeds, batches and ranks have no part in it.
    """
    first = start // BLOCK
    last = max(first, (start + len(pixels) - 1) // BLOCK)
    shape = (BLOCK, *pixels.shape[1:])
    blocks = torch.cat([_draws(shape, block) for block in range(first, last + 1)])
    return blocks[start - first * BLOCK :][: len(pixels)]


def _draws(shape: tuple[int, ...], *key: int) -> Tensor:
    return torch.randint(255, shape, generator=generator("binarize", *key), dtype=torch.uint8)
