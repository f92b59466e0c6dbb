"""Data: decoded once to uint8, split honestly, batched by index.

Read in this order: `module` (the one object the engine sees), `loader`, `store`, `sources`.
"""

from __future__ import annotations

from ganvas.data.loader import BatchLoader
from ganvas.data.module import ImageData

__all__ = ["BatchLoader", "ImageData"]
