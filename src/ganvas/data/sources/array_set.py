"""A torchvision data set read as one array of pixels, never image by image."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganvas.data.content import (
    FileSet,
    file_lock,
    file_set,
    first_missing,
    source_fingerprint,
)
from ganvas.data.decode import fit_arrays
from ganvas.data.options import whole
from ganvas.errors import DataError, GanvasWarning
from ganvas.types import ImageShape, Split

_TIMEOUT_SECONDS = 10.0

Arrays = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True, slots=True)
class ArraySet:
    """What is known of a data set before its files are read.

    Attributes:
        name: for messages and fingerprints.
        files: paths below `root`, of all splits.
        shape: native (channels, height, width).
        num_classes: number of classes, or 0 for unlabelled images.
        counts: images in train and test.
        open: reads one split: `open(root, split, download)` to uint8 `(N, C, H, W)` and labels.
    """

    name: str
    files: tuple[str, ...]
    shape: ImageShape
    num_classes: int
    counts: Mapping[str, int]
    open: Callable[[str, Split, bool], Arrays]


class TorchvisionArrays:
    """A torchvision data set that holds its images as one array.

    Args:
        arrays: the data set.
        root: torchvision's root folder.
        image_size: side in pixels; other than the native one, images are resized (antialiased
            bilinear).
        download: whether absent files may be downloaded.
    """

    def __init__(
        self, arrays: ArraySet, *, root: str | Path, image_size: int, download: bool = True
    ) -> None:
        self._set = arrays
        self._root = Path(root).expanduser()
        self._side = whole("image_size", image_size, least=1)
        self._download = download

    @property
    def image_shape(self) -> ImageShape:
        """(channels, side, side)."""
        return (self._set.shape[0], self._side, self._side)

    @property
    def num_classes(self) -> int | None:
        """Known in advance."""
        return self._set.num_classes

    @property
    def recipe(self) -> str:
        """Name and side."""
        return f"{self._set.name} {self._side}"

    def count(self, split: Split) -> int | None:
        """Known in advance."""
        return self._set.counts.get(split, 0)

    def files(self) -> FileSet:
        """The raw files, downloaded if need be.

        Raises:
            DataError: absent, and no download possible.
        """
        files = file_set(self._root, self._set.files)
        if first_missing(files) is not None:
            self._fetch(files)
        return files

    def fingerprint(self) -> str:
        """Hash of the raw files and the size."""
        return source_fingerprint(self)

    def read(self, split: Split) -> Arrays:
        """uint8 images and labels.

        Raises:
            DataError: files absent or damaged.
        """
        self.files()
        images, labels = self._open(split, download=False)
        expected = self._set.counts[split]
        if len(images) != expected:
            warnings.warn(
                f"{self._set.name}: {expected} {split} images expected, {len(images)} found in "
                f"{self._root}",
                GanvasWarning,
                stacklevel=2,
            )
        return fit_arrays(images, side=self._side), labels

    def _fetch(self, files: FileSet) -> None:
        missing = first_missing(files)
        if not self._download:
            raise DataError(f"{missing} is missing and download is off; {self._remedy()}")
        with downloading(self._set.name, root=self._root, remedy=self._remedy()):
            if first_missing(files) is not None:  # another process may have fetched them
                self._open_all()
        missing = first_missing(files)
        if missing is not None:
            raise DataError(f"{missing} is missing after the download; {self._remedy()}")

    def _open_all(self) -> None:
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            self._set.open(str(self._root), split, True)

    def _open(self, split: Split, *, download: bool) -> Arrays:
        try:
            return self._set.open(str(self._root), split, download)
        except ImportError:
            raise
        except Exception as error:  # each reader raises its own kinds for a damaged file
            folder = (self._root / self._set.files[0]).parent
            raise DataError(
                f"{folder}: the {self._set.name} files can't be read "
                f"({type(error).__name__}: {one_line(error)}); delete them and {self._remedy()}"
            ) from error

    def _remedy(self) -> str:
        folder = (self._root / self._set.files[0]).parent
        return (
            f"put {', '.join(Path(name).name for name in self._set.files)} under {folder}, "
            "or choose dataset=digits"
        )


@contextmanager
def downloading(name: str, *, root: Path, remedy: str) -> Iterator[None]:
    """Holds a lock on `root`, lets a silent server fail after ten seconds, and words failures.

    Raises:
        DataError: whatever went wrong, with the remedy.
    """
    before = socket.getdefaulttimeout()  # torchvision sets no limit itself
    stood = set(root.rglob("*")) | {root} if root.is_dir() else set()
    try:
        root.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(_TIMEOUT_SECONDS)
        with file_lock(root / ".download.lock"):
            yield
    except ImportError:
        raise
    except Exception as error:  # refused, no network, a broken archive: each of its own kind
        _remove_empty(root, kept=stood)
        raise DataError(
            f"{name} isn't under {root} and its download failed ({one_line(error)}); {remedy}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _remove_empty(root: Path, *, kept: set[Path]) -> None:
    """Take back the lock and the empty folders that a failed download has made."""
    (root / ".download.lock").unlink(missing_ok=True)
    made = {path for path in (*root.rglob("*"), root) if path.is_dir()} - kept
    for folder in sorted(made, key=lambda p: len(p.parts), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def one_line(error: BaseException) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())
