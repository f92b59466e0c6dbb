"""What every model with a code or noise vector checks."""

from __future__ import annotations


def checked_width(latent_dim: int) -> int:
    """`latent_dim` itself.

    Raises:
        ValueError: if it is under 1.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    return latent_dim
