"""Small sources and raw files for the data tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ganvas.data import ImageData
from ganvas.data.content import combine
from ganvas.types import ImageShape, Split


@dataclass
class Numbered:
    """Images whose every pixel tells their index (train: 0.., test: 200..)."""

    num_train: int = 20
    num_test: int = 5
    side: int = 4
    known: bool = True
    reads: int = 0

    @property
    def image_shape(self) -> ImageShape:
        return (1, self.side, self.side)

    @property
    def num_classes(self) -> int | None:
        return 10

    def count(self, split: Split) -> int | None:
        if not self.known:
            return None
        return self.num_test if split == "test" else self.num_train

    def fingerprint(self) -> str:
        return combine("numbered", str(self.num_train), str(self.num_test), str(self.side))

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        self.reads += 1
        first, num = (200, self.num_test) if split == "test" else (0, self.num_train)
        index = np.arange(first, first + num, dtype=np.uint8)
        images = np.broadcast_to(index[:, None, None, None], (num, *self.image_shape))
        return images, (index % 10).astype(np.int64)


def numbered(**options: object) -> ImageData:
    """Prepared `ImageData` over 20 numbered images, in batches of 4, in memory."""
    world_size = options.pop("world_size", 1)
    source = options.pop("source", None) or Numbered()
    data = ImageData(source, **{"batch_size": 4, **options})  # type: ignore[arg-type]
    data.prepare(world_size)  # type: ignore[arg-type]
    return data


def pixels(side: int, *, value: int = 100, channels: int = 3) -> np.ndarray:
    """A plain square, uint8 `(H, W)` or `(H, W, C)`."""
    shape = (side, side) if channels == 1 else (side, side, channels)
    return np.full(shape, value, dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    """Write an image file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)  # type: ignore[arg-type]
    return path
