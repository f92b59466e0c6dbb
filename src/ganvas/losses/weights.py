"""What every weighted objective checks."""

from __future__ import annotations


def check_weights(**weights: float) -> None:
    """Weights by the name of their key.

    Raises:
        ValueError: if one is below 0.
    """
    for name, weight in weights.items():
        if not weight >= 0:
            raise ValueError(
                f"{name} must be at least 0, got {weight}; 0 leaves its term out of the objective"
            )
