"""A user's own torch data set, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ganvas.data.content import combine
from ganvas.data.decode import Fit, fit_arrays, image_to_array, to_uint8
from ganvas.errors import DataError
from ganvas.types import ImageShape, Split

_GREY, _COLOUR = 2, 3
_CHANNELS = (1, 3)


class FromDataset:
    """Adapts map-style data sets whose items are an image, or a pair (image, integer label).

    An image is a Pillow image (its centred square is resized to `image_size`), a tensor
    `(C, H, W)` or `(H, W)`, or an array `(H, W, C)` or `(H, W)`; tensors and arrays are uint8 or
    float in [0, 1] (so leave out any normalisation). All must come to one shape. Random
    transforms would be frozen by the decoding: augment with `dataset.augment`.

    Args:
        train: the training images.
        test: the test images, or None.
        image_size: side in pixels; None leaves arrays as they are (Pillow images need it).
        channels: of Pillow images, 3 for RGB or 1 for luma.
        num_classes: number of classes; None takes the highest training label + 1.
        version: names the content. With it a cached decode opens without reading the data set,
            and you must change it when the data changes; None reads and hashes every time.
    """

    def __init__(
        self,
        train: Sequence[Any],
        *,
        test: Sequence[Any] | None = None,
        image_size: int | None = None,
        channels: int = 3,
        num_classes: int | None = None,
        version: str | None = None,
    ) -> None:
        self._sets: dict[str, Sequence[Any]] = {"train": train}
        if test is not None:
            self._sets["test"] = test
        self._side, self._channels = image_size, channels
        self._num_classes, self._version = num_classes, version
        self._read: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}

    @property
    def image_shape(self) -> ImageShape:
        """Shape of the first training image."""
        image, _ = self._item(self._sets["train"], 0)
        channels, height, width = image.shape
        return (channels, height, width)

    @property
    def num_classes(self) -> int | None:
        """As given; None where the labels have yet to be read."""
        return self._num_classes

    def count(self, split: Split) -> int | None:
        """Length of the data set."""
        return len(self._sets[split]) if split in self._sets else 0

    def fingerprint(self) -> str:
        """Of `version`, or else of every image and label."""
        options = f"dataset {self._side} {self._channels}"
        if self._version is not None:
            return combine(options, "version", self._version)
        digest = hashlib.sha256()
        for split in self._sets:
            for array in self._arrays(split):
                if array is not None:
                    digest.update(f"{split} {array.dtype} {array.shape}".encode())
                    digest.update(np.ascontiguousarray(array).data)
        return combine(options, digest.hexdigest())

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images and labels; raises `DataError` for items of another kind or shape."""
        if split not in self._sets:
            return np.empty((0, *self.image_shape), dtype=np.uint8), None
        return self._arrays(split)

    def _arrays(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
        if split not in self._read:
            self._read[split] = self._decode(split)
        return self._read[split]

    def _decode(self, split: str) -> tuple[np.ndarray, np.ndarray | None]:
        data = self._sets[split]
        items = [self._item(data, index) for index in range(len(data))]
        shape, labelled = self.image_shape, items[0][1] is not None if items else False
        for index, (image, label) in enumerate(items):
            if image.shape != shape or (label is not None) != labelled:
                raise DataError(
                    f"{split} item {index}: all items must be alike, {shape} and with labels or "
                    f"without, got {image.shape}; set dataset.source.image_size to resize images"
                )
        images = np.stack([image for image, _ in items]) if items else np.empty((0, *shape), "u1")
        labels = np.array([label for _, label in items], dtype=np.int64) if labelled else None
        return images, labels

    def _item(self, data: Sequence[Any], index: int) -> tuple[np.ndarray, int | None]:
        item = data[index]
        image, label = item if isinstance(item, tuple | list) else (item, None)
        try:
            return self._image(image), None if label is None else int(label)
        except (DataError, TypeError, ValueError) as error:
            raise DataError(
                f"item {index}: {error}; items must be an image or (image, integer label)"
            ) from error

    def _image(self, image: Any) -> np.ndarray:
        """One image as uint8 `(C, H, W)`."""
        import torch
        from PIL import Image

        if isinstance(image, Image.Image):
            side = self._side or min(image.size)
            return image_to_array(image, fit=Fit(side, self._channels, upscale=True))
        is_tensor = isinstance(image, torch.Tensor)
        array = image.detach().cpu().numpy() if is_tensor else np.asarray(image)
        if array.ndim == _GREY:
            array = array[None]
        elif array.ndim == _COLOUR and not is_tensor:
            array = array.transpose(2, 0, 1)
        if array.ndim != _COLOUR or array.shape[0] not in _CHANNELS:
            raise DataError(f"got an image of shape {tuple(np.shape(image))}; 1 or 3 channels fit")
        return fit_arrays(to_uint8(array, what="image")[None], side=self._side)[0]
