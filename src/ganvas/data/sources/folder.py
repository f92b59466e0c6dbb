"""Images in a folder of the user's own."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import numpy as np

from ganvas.data.content import Decoded, FileSet, file_set, source_fingerprint
from ganvas.data.decode import Fit, decode_files
from ganvas.data.options import checked_channels, checked_size, whole
from ganvas.data.order import hash_order, share
from ganvas.errors import DataError
from ganvas.types import ImageShape, Split

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class ImageFolder:
    """Any tree of PNG, JPEG and WebP files; other files and hidden ones are not looked at.

    Where `root` has both `train/` and `test/`, these are the splits; else `test_size` of the
    images, chosen by a hash of their relative path, are the test split. Within a split, two or
    more sub-folders that hold all its images are classes (sorted by name, images at any depth);
    anything else is unlabelled. Each image's centred square is resized to `image_size`
    (antialiased bilinear); modes are converted as `ganvas.data.decode` says.

    Args:
        root: the folder.
        image_size: side in pixels.
        channels: 3 for RGB, 1 for luma.
        test_size: a count, or a fraction in (0, 1); 0 for none. Ignored with `train/` and `test/`.
        upscale: enlarge images smaller than `image_size`, which otherwise are refused.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int,
        channels: int = 3,
        test_size: float = 0.1,
        upscale: bool = False,
    ) -> None:
        self._root = Path(root).expanduser()
        self._fit = Fit(
            side=whole("image_size", image_size, least=1),
            channels=checked_channels(channels),
            upscale=upscale,
        )
        self._test_size = checked_size("source.test_size", test_size)

    @property
    def image_shape(self) -> ImageShape:
        """(channels, side, side)."""
        return (self._fit.channels, self._fit.side, self._fit.side)

    @property
    def num_classes(self) -> int | None:
        """Number of class folders, 0 for unlabelled images; None for an absent folder."""
        return len(self._classes) if self._root.is_dir() else None

    @property
    def recipe(self) -> str:
        """All options: each changes pixels or splits."""
        return f"folder {self._fit} {self._test_size}"

    def count(self, split: Split) -> int | None:
        """Files found; None where the folder is absent."""
        return len(self._splits.get(split, ())) if self._root.is_dir() else None

    def files(self) -> FileSet:
        """All images of both splits.

        Raises:
            DataError: the folder is missing, has no image, or has a class folder without one.
        """
        names = [name for names in self._splits.values() for name in names]
        _ = self._classes
        return file_set(self._root, names)

    def fingerprint(self) -> str:
        """Hash of the files' names and bytes, and of the options."""
        return source_fingerprint(self)

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images and labels.

        Raises:
            DataError: an image that can't be decoded or is too small, by name.
        """
        decoded = self._decode(split, skip_bad=False)
        return decoded.images, decoded.labels

    def read_valid(self, split: Split) -> Decoded:
        """The images that can be decoded, and the reasons why others can't."""
        return self._decode(split, skip_bad=True)

    def _decode(self, split: Split, *, skip_bad: bool) -> Decoded:
        names = self._splits.get(split, [])
        paths = [self._root / name for name in names]
        images, kept, skipped = decode_files(paths, fit=self._fit, skip_bad=skip_bad)
        if not self._classes:
            return Decoded(images=images, labels=None, skipped=skipped)
        number = {name: index for index, name in enumerate(self._classes)}
        labels = np.array([number[self._class_of(name)] for name in names], dtype=np.int64)
        return Decoded(images=images, labels=labels[kept], skipped=skipped)

    @property
    def _has_own_splits(self) -> bool:
        return all((self._root / split).is_dir() for split in ("train", "test"))

    @cached_property
    def _splits(self) -> dict[str, list[str]]:
        """Sorted relative paths of each split."""
        if not self._root.is_dir():
            raise DataError(
                f"{self._root}: no such folder; set dataset.root to the folder with your images"
            )
        if self._has_own_splits:
            return {split: self._list(split) for split in ("train", "test")}
        names = self._list("")
        num_test = share(self._test_size, num=len(names))
        if self._test_size and num_test == 0:
            num_test = 1  # a test split was asked for
        if num_test >= len(names):
            raise DataError(
                f"{self._root}: test_size={self._test_size:g} leaves nothing of {len(names)} "
                "images to train on; choose a smaller dataset.source.test_size"
            )
        order = hash_order(names)
        test = set(order[:num_test])
        return {
            "train": [name for index, name in enumerate(names) if index not in test],
            "test": [name for index, name in enumerate(names) if index in test],
        }

    def _list(self, folder: str) -> list[str]:
        """Relative paths of the images below a folder, links followed; at least one."""
        top = self._root / folder
        names, seen = [], set()
        for where, folders, files in os.walk(top, followlinks=True):
            real = os.path.realpath(where)
            if real in seen:  # a link back to a folder above
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(where).relative_to(self._root)
            names += [
                (relative / name).as_posix()
                for name in files
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
            ]
        if not names:
            raise DataError(
                f"{top}: no image found; put {', '.join(SUFFIXES)} files there, or correct "
                "dataset.root"
            )
        return sorted(names)

    @cached_property
    def _classes(self) -> list[str]:
        """Names of the class folders; empty for unlabelled images.

        Raises:
            DataError: a class folder without an image, or a test class that train doesn't have.
        """
        used = {
            split: {self._class_of(name) for name in names} for split, names in self._splits.items()
        }
        if not self._has_own_splits:
            used = {"": set().union(*used.values())}
        if any("" in classes for classes in used.values()):
            return []  # images beside the folders
        for split, classes in used.items():
            self._refuse_empty_class(self._root / split, classes=classes)
        known = used.get("train", used.get("", set()))
        unknown = sorted(used.get("test", set()) - known)
        if unknown:
            raise DataError(
                f"{self._root / 'test' / unknown[0]}: this class has no folder in train; add one "
                "or remove this one"
            )
        return sorted(known) if len(known) > 1 else []

    def _class_of(self, name: str) -> str:
        """The sub-folder directly below the split's folder; "" for a file beside them."""
        parts = name.split("/")[1 if self._has_own_splits else 0 :]
        return parts[0] if len(parts) > 1 else ""

    def _refuse_empty_class(self, top: Path, *, classes: set[str]) -> None:
        for folder in sorted(top.iterdir()):
            if folder.is_dir() and not folder.name.startswith(".") and folder.name not in classes:
                raise DataError(
                    f"{folder}: this class folder has no image; add {', '.join(SUFFIXES)} files or "
                    "remove the folder"
                )
