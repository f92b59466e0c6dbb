"""Pictures in a run's folder."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import RunError
from ganvas.tracking.files import write_atomic

if TYPE_CHECKING:
    import numpy as np


def write_picture(folder: Path, name: str, image: np.ndarray, *, step: int) -> Path:
    """Writes `samples/<name>-<step, 8 digits>.png`, whole or not at all; see `RunRecord`."""
    from PIL import Image

    if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:  # noqa: PLR2004
        raise RunError(
            f"a picture must be uint8 (H, W, 3), got {image.dtype} {image.shape} "
            f"for {name!r}; convert it first"
        )
    file = folder / "samples" / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}-{step:08d}.png"
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="png", compress_level=1)
    file.parent.mkdir(exist_ok=True)
    write_atomic(file, content.getvalue(), durable=False)
    return file
