"""What follows a hidden layer: normalisation, activation, dropout."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Norm = Callable[[int], nn.Module]
Activation = Callable[[], nn.Module]


def following(
    num_maps: int, *, norm: Norm | None, activation: Activation, dropout: float = 0.0
) -> list[nn.Module]:
    """Normalisation where there is one, activation, and dropout where there is any."""
    return [*([norm(num_maps)] if norm else []), activation(), *dropout_layers(dropout)]


def dropout_layers(dropout: float) -> list[nn.Module]:
    """A layer that puts this share of values to 0 in training, or nothing for 0.

    Raises:
        ValueError: if the share is outside [0, 1).
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}; 0 is none")
    return [nn.Dropout(dropout)] if dropout else []


def at_least_one(**counts: int) -> None:
    """Refuse widths and counts of layers under 1.

    Raises:
        ValueError: with the first that is.
    """
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
