"""Checks of config values; each names the key, the rule and the value got."""

from __future__ import annotations

import math

from ganvas.errors import ConfigError


def whole(key: str, value: int, *, least: int) -> int:
    """A whole number of at least `least`, or a `ConfigError` that names its key."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"dataset.{key}: must be a whole number, got {value!r}")
    if value < least:
        raise ConfigError(f"dataset.{key}: must be at least {least}, got {value}")
    return value


def checked_size(key: str, value: float) -> float:
    """A part of the images: a count (int) or a fraction (float below 1), 0 for none."""
    if isinstance(value, float) and math.isfinite(value) and 0 <= value < 1:
        return value or 0
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ConfigError(
        f"dataset.{key}: must be a count (0, 1, 2, …) or a fraction in (0, 1), got {value!r}"
    )


def checked_channels(value: int) -> int:
    """1 (grey) or 3 (colour)."""
    if value not in (1, 3):
        raise ConfigError(f"dataset.source.channels: must be 1 or 3, got {value!r}")
    return value


def check_divisible(batch_size: int, world_size: int) -> None:
    """The global batch can be shared by the ranks, or a `ConfigError`."""
    if batch_size % world_size:
        raise ConfigError(
            f"dataset.batch_size: the global batch is shared by {world_size} ranks and must be a "
            f"multiple of {world_size}, got {batch_size}"
        )
