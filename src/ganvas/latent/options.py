"""Ranges of tools' options: a ValueError begins with the option's name."""

from __future__ import annotations

import math


def within(option: str, value: int, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`.

    Raises:
        ValueError: if it is none.
    """
    if not least <= value <= most:
        raise ValueError(f"{option} must be from {least} to {most}, got {value}")
    return value


def positive(option: str, value: float) -> float:
    """A finite number above 0.

    Raises:
        ValueError: if it is none.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{option} must be a finite number above 0, got {value}")
    return value
