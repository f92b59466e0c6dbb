"""Differentiable augmentation of what the critic sees (Zhao et al. 2020, arXiv:2006.10738).

The authors' code, but for values that are told by the images' range, and draws that are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ganvas.types import ValueRange

WIDTH = 7
"""Uniform draws that each image needs, whatever is done to it."""
SHIFT, HOLE = 1 / 8, 1 / 2
"""Largest translation, and side of the hole, as shares of the image's side."""


def diff_augment(
    images: Tensor, draws: Tensor, *, policy: Sequence[str], value_range: ValueRange
) -> Tensor:
    """Images `(B, C, H, W)` augmented, each by its own draws; gradients pass through.

    Args:
        images: in `value_range`.
        draws: uniform in [0, 1), `(B, 7)`.
        policy: of "color", "translation", "cutout", done in this order.
        value_range: black and white.
    """
    for name, augment in POLICIES.items():
        if name in policy:
            images = augment(images, draws, value_range)
    return images


def checked_policy(policy: Sequence[str]) -> tuple[str, ...]:
    """`policy` itself.

    Raises:
        ValueError: if there is no such augmentation.
    """
    names = [policy] if isinstance(policy, str) else list(policy)
    if unknown := [name for name in names if name not in POLICIES]:
        raise ValueError(f"augment must be of {', '.join(POLICIES)}, got {unknown[0]!r}")
    return tuple(names)


def _color(images: Tensor, draws: Tensor, value_range: ValueRange) -> Tensor:
    """Brightness by up to a quarter of the range, saturation 0 to 2, contrast ½ to 3/2."""
    brightness, saturation, contrast = draws[:, :3, None, None, None].unbind(1)
    images = images + (brightness - 0.5) * (value_range[1] - value_range[0]) / 2
    grey = images.mean(1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (0.5 + contrast) * (images - middle)


def _translation(images: Tensor, draws: Tensor, value_range: ValueRange) -> Tensor:
    """Moved by whole pixels, up to an eighth of the side either way; grey comes in."""
    height, width = images.shape[2:]
    down, right = _most(height), _most(width)
    padded = pad(images, [right, right, down, down], value=sum(value_range) / 2)
    rows = _places(draws[:, 3:4], 2 * down + 1) + torch.arange(height, device=images.device)
    columns = _places(draws[:, 4:5], 2 * right + 1) + torch.arange(width, device=images.device)
    each = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, draws: Tensor, value_range: ValueRange) -> Tensor:
    """A square hole of half the side, its centre anywhere in the image, filled with grey."""
    height, width = images.shape[2:]
    rows = _hole(draws[:, 5:6], height, images.device)[:, None, :, None]
    columns = _hole(draws[:, 6:7], width, images.device)[:, None, None, :]
    return torch.where(rows & columns, torch.full_like(images, sum(value_range) / 2), images)


POLICIES: dict[str, Callable[[Tensor, Tensor, ValueRange], Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}


def _most(side: int) -> int:
    """Pixels in an eighth of the side, rounded."""
    return int(side * SHIFT + 0.5)


def _places(draws: Tensor, num: int) -> Tensor:
    """0 to num − 1, by draws below 1, `(B, 1)`."""
    return (draws * num).long()


def _hole(draws: Tensor, side: int, device: torch.device) -> Tensor:
    """Which of the `side` rows or columns are in the hole, `(B, side)`."""
    length = int(side * HOLE + 0.5)
    first = _places(draws, side + 1 - length % 2) - length // 2
    place = torch.arange(side, device=device)
    return (place >= first) & (place < first + length)
