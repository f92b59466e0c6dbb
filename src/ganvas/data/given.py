"""Single images: some of a split, and ones of any size and mode, made like those of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganvas.data.binarization import binarized, evaluation_draws
from ganvas.data.decode import Fit, convert_mode, image_to_array, opened_image
from ganvas.data.loader import to_float

if TYPE_CHECKING:
    from PIL import Image as PILImage

    from ganvas.data.module import ImageData
    from ganvas.types import ImageShape, Split


BLOCK = 256

INVERTED = "dark and bright swapped"
"""Said of files where they were."""


def split_images(
    data: ImageData, split: Split, positions: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """Images `(N, C, H, W)` in [0, 1] and labels `(N,)` or None, as evaluation sees them.

    Args:
        data: prepared.
        split: that has these positions.
        positions: in the order wanted.
    """
    blocks = data.loader(split, value_range=(0, 1), seed=0, batch_size=BLOCK, in_order=True)
    wanted, images, labels = set(positions), {}, {}
    for block in blocks:
        for position in wanted & set(range(block.start, block.start + len(block))):
            images[position] = block.x[position - block.start]
            if block.y is not None:
                labels[position] = block.y[position - block.start]
        if len(images) == len(wanted):
            break
    y = torch.stack([labels[p] for p in positions]) if labels else None
    return torch.stack([images[p] for p in positions]), y


def given_images(
    given: Sequence[Path | PILImage.Image], *, data: ImageData, invert: bool = False
) -> Tensor:
    """Images `(N, C, H, W)` in [0, 1], as the data set would have made them.

    The mode is converted, the centred part cut and resized as `ganvas.data.decode` says (small
    images are enlarged), and the result binarised where the data are. A file of an image folder
    gives its own pixels.

    Args:
        given: files, or Pillow images.
        data: whose images they shall be like; only its config is looked at.
        invert: swap dark and bright first, e.g. ink on paper for a model of white strokes on black.

    Raises:
        DataError: a file that can't be read, by name.
    """
    pixels = torch.from_numpy(np.stack([_fitted(item, shape=data.image_shape) for item in given]))
    if invert:
        pixels = 255 - pixels
    seen = binarized(pixels, data.binarization, draws=partial(evaluation_draws, pixels, start=0))
    return to_float(seen, value_range=(0.0, 1.0))


def transform_words(data: ImageData, *, invert: bool = False) -> str:
    """What `given_images` does, in words."""
    channels, height, width = data.image_shape
    colour = "grey" if channels == 1 else "RGB"
    parts = [colour, f"centred part cut and resized to {height}×{width}"]
    if invert:
        parts.append(INVERTED)
    if data.binarization:
        parts.append(f"binarised ({data.binarization})")
    return ", ".join(parts)


def _fitted(item: Path | PILImage.Image, *, shape: ImageShape) -> np.ndarray:
    """uint8 `(C, H, W)`."""
    if isinstance(item, Path):
        with opened_image(item, remedy="give another file, such as a PNG or JPEG") as image:
            return _fitted(image, shape=shape)
    channels, height, width = shape
    if height == width:
        return image_to_array(item, fit=Fit(height, channels, upscale=True))
    return _oblong(item, shape=shape)


def _oblong(image: PILImage.Image, *, shape: ImageShape) -> np.ndarray:
    """As `image_to_array`, for data whose images are no squares."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    image = convert_mode(ImageOps.exif_transpose(image), channels=channels)
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(fitted)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
