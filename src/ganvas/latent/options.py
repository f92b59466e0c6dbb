"""Ranges of tools' options: a ValueError begins with the option's name."""

from __future__ import annotations

import math
from typing import Any, TypeVar, get_args

T = TypeVar("T")


def one_of(option: str, value: T, kinds: Any) -> T:
    """One of the values of a `Literal`.

    Raises:
        ValueError: if it is none.
    """
    known = get_args(kinds)
    if value not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ValueError(f"{option} must be {listed}, got {value!r}")
    return value


def at_least(least: int, **options: int | None) -> None:
    """Whole numbers from `least` on; None is let pass, where an option may be null.

    Raises:
        ValueError: if one is less.
    """
    for option, value in options.items():
        if value is not None and value < least:
            raise ValueError(f"{option} must be at least {least}, got {value}")


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
