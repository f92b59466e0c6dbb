"""The images that a user names: positions in a split, files, folders, Pillow images, tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from ganvas.data.given import given_images, split_images, transform_words
from ganvas.data.sources.folder import SUFFIXES
from ganvas.errors import RunError
from ganvas.protocols import Conditional

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.types import Split

    Given = int | str | Path | Image | Tensor | np.ndarray
else:
    Given = Any


@dataclass(frozen=True)
class Request:
    """What a user may give to any tool.

    Attributes:
        images: positions in the split, files, folders, Pillow images or tensors; "random" for
            codes drawn from the prior; None where the tool shall choose.
        split: where positions are looked up.
        y: of given files and random codes of a conditional model: a class, or several in turn.
        invert: swap dark and bright of given files.
        seed: of all that is drawn.
    """

    images: Sequence[Given] | Literal["random"] | None = None
    split: Split = "test"
    y: int | Sequence[int] | None = None
    invert: bool = False
    seed: int = 0

    @property
    def classes(self) -> int | list[int] | None:
        """`y` as `ModelView.class_labels` takes it."""
        return self.y if self.y is None or isinstance(self.y, int) else list(self.y)


@dataclass(frozen=True)
class Inputs:
    """Images to work on.

    Attributes:
        x: `(N, C, H, W)` in [0, 1].
        y: labels `(N,)`; −1 where there is none, or None where none has any.
        names: of each, such as "test 7" or a file's.
        notes: how files became these images, for a reader of the picture.
        positions: of each in the split; None for images from elsewhere.
    """

    x: Tensor
    y: Tensor | None
    names: Sequence[str]
    notes: Sequence[str] = ()
    positions: Sequence[int | None] = ()

    def __len__(self) -> int:
        return len(self.x)

    def given(self, model: object) -> Tensor | None:
        """Labels `(N,)` where the model is conditional; else None.

        Raises:
            RunError: if an image has none.
        """
        if not isinstance(model, Conditional):
            return None
        if self.y is None or bool((self.y < 0).any()):
            raise RunError(
                f"y: {type(model).__name__} is conditional, and given images have no class; name "
                "it, e.g. y=3, or y=[3,5] for one after another"
            )
        return self.y

    @property
    def captions(self) -> list[str]:
        """Of all."""
        return [self.caption(i) for i in range(len(self))]

    def caption(self, index: int) -> str:
        """The name, and the class where one is known."""
        if self.y is None or self.y[index] < 0:
            return self.names[index]
        return f"{self.names[index]} (class {int(self.y[index])})"


def chosen_images(data: ImageData, request: Request, *, num: int | None) -> Inputs:
    """The images of a request; the first `num` of its split (None for all) where it names none.

    Raises:
        RunError: images that don't exist, or tensors of another shape.
        DataError: a file that can't be read.
    """
    if request.images is None:
        there = data.counts[request.split]
        positions = list(range(there if num is None else min(num, there)))
        return images_at(data, request.split, positions)
    assert request.images != "random"
    items = expanded(request.images)
    if all(isinstance(item, int) for item in items):
        return images_at(data, request.split, [item for item in items if isinstance(item, int)])
    return _joined([_one(data, item, request, number=i) for i, item in enumerate(items)])


def images_at(data: ImageData, split: Split, positions: Sequence[int]) -> Inputs:
    """Images by their positions in a split.

    Raises:
        RunError: if there are none there.
    """
    there = data.counts[split]
    if not there:
        raise RunError(f"split={split}: {data.name} has no such images; choose another split")
    for position in positions:
        if not 0 <= position < there:
            raise RunError(
                f"images: positions in split={split} go from 0 to {there - 1}, got {position}"
            )
    x, y = split_images(data, split, positions)
    names = [f"{split} {position}" for position in positions]
    return Inputs(x, y, names, positions=list(positions))


def expanded(images: Sequence[Given]) -> list[Given]:
    """Single images: positions, files, Pillow images and tensors.

    Raises:
        RunError: none at all, files that don't exist, or what is no image.
    """
    items = [part for item in images for part in _parts(item)]
    if not items:
        raise RunError("images: must name at least one image, got []; leave images out for others")
    return items


def records(images: Sequence[Given] | str | None) -> Any:
    """What was given, to be written down: files and pixels with the hash of their content."""
    if images is None or isinstance(images, str):
        return images
    return [_record(item) for item in expanded(images)]


def _record(item: Given) -> int | dict[str, str]:
    if isinstance(item, int):
        return item
    if isinstance(item, Path):
        try:
            return {"file": str(item.absolute()), "sha256": _sha256(item.read_bytes())}
        except OSError as error:
            raise RunError(f"images: {item} can't be read ({error.strerror})") from error
    pixels = np.asarray(item)
    return {"sha256": _sha256(repr((pixels.dtype.str, pixels.shape)).encode() + pixels.tobytes())}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parts(item: Given) -> list[Given]:
    """A folder's images in the order of their names, a batch's one by one; others as they are."""
    if isinstance(item, np.ndarray):
        item = torch.from_numpy(item)
    if isinstance(item, Tensor):
        item = item.detach().cpu()
        return list(item) if item.ndim == 4 else [item]  # noqa: PLR2004
    if isinstance(item, Image) or type(item) is int:
        return [item]
    if not isinstance(item, str | Path) or not str(item):
        raise RunError(
            "images: must be positions in the split, files, folders, Pillow images, tensors or "
            f"arrays, got {item!r}"
        )
    path = Path(item).expanduser()
    if not (path.is_file() or path.is_dir()):
        raise RunError(
            f"images: no such file or folder, got {str(item)!r}; name files, folders, or "
            "positions in the split, e.g. images=[0,7,cat.png]"
        )
    if not path.is_dir():
        return [path]
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise RunError(f"images: {path} holds no image ({', '.join(SUFFIXES)}); name another")
    return list(files)


def _one(data: ImageData, item: Given, request: Request, *, number: int) -> Inputs:
    """One image of any kind."""
    if isinstance(item, int):
        return images_at(data, request.split, [item])
    if isinstance(item, Tensor):
        return Inputs(_checked(item, data)[None], None, [f"image {number}"], positions=[None])
    assert isinstance(item, Path | Image)
    x = given_images([item], data=data, invert=request.invert)
    words = transform_words(data, invert=request.invert)
    name = item.name if isinstance(item, Path) else f"image {number}"
    return Inputs(x, None, [name], [f"given images: {words}"], positions=[None])


def _checked(image: Tensor, data: ImageData) -> Tensor:
    """A tensor is an image of the data's shape in [0, 1]."""
    if tuple(image.shape) != tuple(data.image_shape):
        raise RunError(
            f"images: a tensor must be an image {tuple(data.image_shape)}, or several of them, "
            f"got {tuple(image.shape)}; Pillow images may have any size"
        )
    if not image.is_floating_point():
        raise RunError(
            f"images: a tensor must hold floats in [0, 1], got {image.dtype}; divide by 255"
        )
    image = image.float()
    if not (image.min() >= 0 and image.max() <= 1):
        raise RunError(
            f"images: a tensor must have values in [0, 1], got [{image.min():g}, {image.max():g}]"
        )
    return image


def _joined(parts: Sequence[Inputs]) -> Inputs:
    """One after another."""
    none = torch.tensor([-1])
    labels = [none if part.y is None else part.y for part in parts]
    return Inputs(
        torch.cat([part.x for part in parts]),
        None if all(part.y is None for part in parts) else torch.cat(labels),
        [name for part in parts for name in part.names],
        list(dict.fromkeys(note for part in parts for note in part.notes)),
        [position for part in parts for position in part.positions],
    )
