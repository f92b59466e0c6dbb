"""Differentiable augmentation of what the critic sees (Zhao et al. 2020, arXiv:2006.10738)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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
    """Brightness by up to half the range either way, saturation 0 to 2, contrast ½ to 3/2."""
    brightness, saturation, contrast = draws[:, :3, None, None, None].unbind(1)
    images = images + (brightness - 0.5) * (value_range[1] - value_range[0]) / 2
    grey = images.mean(1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (0.5 + contrast) * (images - middle)


def _translation(images: Tensor, draws: Tensor, value_range: ValueRange) -> Tensor:
    """Moved by up to an eighth of the side either way; black comes in."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) + _whole(draws[:, 3:4], height)
    columns = torch.arange(width, device=images.device) + _whole(draws[:, 4:5], width)
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    places = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    flat = places.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    moved = images.flatten(2).gather(2, flat).view_as(images)
    return torch.where(inside, moved, torch.full_like(moved, value_range[0]))


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


def _whole(draws: Tensor, side: int) -> Tensor:
    """Whole pixels from −side/8 to side/8, `(B, 1)`."""
    most = int(side * SHIFT + 0.5)
    return (draws * (2 * most + 1)).long() - most


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


def _hole(draws: Tensor, side: int, device: torch.device) -> Tensor:
    """Which of the `side` rows or columns are in the hole, `(B, side)`."""
    length = int(side * HOLE + 0.5)
    first = (draws * (side + 1 - length % 2)).long() - length // 2
    place = torch.arange(side, device=device)
    return (place >= first) & (place < first + length)
