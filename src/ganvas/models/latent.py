"""What models with a code, a noise vector or classes check."""

from __future__ import annotations


def checked_width(latent_dim: int) -> int:
    """`latent_dim` itself.

    Raises:
        ValueError: if it is under 1.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}")
    return latent_dim


def checked_classes(num_classes: int | None, *, otherwise: str) -> int:
    """`num_classes` itself; `otherwise` is the model to choose for data without labels.

    Raises:
        ValueError: if the data have no labels.
    """
    if not num_classes:
        raise ValueError(
            f"num_classes must be at least 1, got {num_classes}: the data have no labels; "
            f"choose a labelled dataset, or model={otherwise}"
        )
    return num_classes
