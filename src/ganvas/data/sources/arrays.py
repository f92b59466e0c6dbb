"""Images in a NumPy file of the user's own."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from ganvas.data.content import FileSet, source_fingerprint
from ganvas.data.decode import fit_arrays, to_uint8
from ganvas.data.options import checked_size
from ganvas.data.order import hash_order, share
from ganvas.errors import ConfigError, DataError
from ganvas.types import ImageShape, Split

_IMAGE_KEYS = ("images", "x", "arr_0")
_LABEL_KEYS = ("labels", "y", "arr_1")
_CHANNELS = (1, 3)
_FLAT, _WITH_CHANNELS = 3, 4
_BAD_FILE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class _Header:
    """Shape of the images and number of classes, read without the pixels."""

    shape: tuple[int, ...]
    channels_last: bool

    @property
    def image_shape(self) -> ImageShape:
        if len(self.shape) == _FLAT:
            return (1, self.shape[1], self.shape[2])
        if self.channels_last:
            return (self.shape[3], self.shape[1], self.shape[2])
        return (self.shape[1], self.shape[2], self.shape[3])


class Arrays:
    """A `.npy` file of images, or a `.npz` with `images` (or `x`, `arr_0`) and optional labels.

    Images are `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)` with C = 1 or 3, uint8 or float in
    [0, 1] (rounded to 8 bits). Labels (`labels`, `y` or `arr_1`) are integers `(N,)`; a
    file with the test split brings its own. Pickled content is refused.

    Args:
        path: of the file.
        test_path: of a second file with the test split; None takes `test_size` of the first,
            chosen by a hash of the index, whatever the seed.
        test_size: a count or a fraction in (0, 1); 0 for none. Ignored with `test_path`.
        image_size: side in pixels to crop and resize to; None leaves images as they are.
        layout: "nhwc" or "nchw", needed only where the shape could be either.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        test_path: str | Path | None = None,
        test_size: float = 0.1,
        image_size: int | None = None,
        layout: str | None = None,
    ) -> None:
        self._path = Path(path).expanduser()
        self._test_path = None if test_path is None else Path(test_path).expanduser()
        self._test_size = checked_size("source.test_size", test_size)
        self._side = image_size
        if layout not in (None, "nhwc", "nchw"):
            raise ConfigError(f"dataset.source.layout: must be nhwc, nchw or null, got {layout!r}")
        self._layout = layout

    @property
    def image_shape(self) -> ImageShape:
        """From the file's header; raises `DataError` where the file is missing."""
        channels, height, width = self._header.image_shape
        return (channels, self._side or height, self._side or width)

    @property
    def num_classes(self) -> int | None:
        """Highest label + 1, 0 without labels; None without the file."""
        if not self._path.is_file():
            return None
        labels = _load(self._path).labels
        if labels is None or not labels.size or not np.issubdtype(labels.dtype, np.integer):
            return 0  # labels of another type are refused when they are read
        return int(labels.max()) + 1

    @property
    def recipe(self) -> str:
        """All options: each changes pixels or splits."""
        return f"arrays {self._side} {self._layout} {self._test_size} {self._test_path is None}"

    def count(self, split: Split) -> int | None:
        """From the header; None where the file is missing."""
        if not self._path.is_file():
            return None
        if self._test_path is None:
            num_test = self._num_test
            return num_test if split == "test" else self._header.shape[0] - num_test
        if split == "test":
            return self._read_header(self._test_path).shape[0]
        return self._header.shape[0]

    def files(self) -> FileSet:
        """The file or two; raises `DataError` where one is missing."""
        paths = {"train": self._path}
        if self._test_path is not None:
            paths["test"] = self._test_path
        for path in paths.values():
            if not path.is_file():
                raise DataError(f"{path}: no such file; set dataset.root to your .npz or .npy file")
        return FileSet(names=tuple(paths), paths=tuple(paths.values()))

    def fingerprint(self) -> str:
        """Hash of the files and of the options."""
        return source_fingerprint(self)

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images and labels.

        Raises:
            DataError: a file missing or damaged; arrays of another type, shape or range.
        """
        if self._test_path is not None:
            return self._read_file(self._test_path if split == "test" else self._path)
        images, labels = self._read_file(self._path)
        order = hash_order([f"arrays/{index}" for index in range(len(images))])
        is_test = np.zeros(len(images), dtype=bool)
        is_test[order[: self._num_test]] = True
        chosen = is_test if split == "test" else ~is_test
        return images[chosen], None if labels is None else labels[chosen]

    @cached_property
    def _header(self) -> _Header:
        return self._read_header(self._path)

    @property
    def _num_test(self) -> int:
        total = self._header.shape[0]
        num_test = share(self._test_size, num=total)
        if num_test >= total:
            raise DataError(
                f"{self._path}: test_size={self._test_size:g} leaves nothing of {total} images to "
                "train on; choose a smaller dataset.source.test_size"
            )
        return num_test

    def _read_header(self, path: Path) -> _Header:
        self.files()
        shape = _image_shape_in(path)
        return _Header(shape=shape, channels_last=self._channels_last(shape, path=path))

    def _channels_last(self, shape: tuple[int, ...], *, path: Path) -> bool:
        if len(shape) == _FLAT:
            return False
        if len(shape) != _WITH_CHANNELS:
            raise DataError(
                f"{path}: images must be (N, H, W), (N, H, W, C) or (N, C, H, W), got {shape}; "
                "reshape them"
            )
        first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
        if self._layout is None and first and last:
            raise DataError(
                f"{path}: shape {shape} could be (N, C, H, W) or (N, H, W, C); "
                "set dataset.source.layout=nchw or nhwc"
            )
        last = last if self._layout is None else self._layout == "nhwc"
        if shape[3 if last else 1] not in _CHANNELS:
            raise DataError(f"{path}: images must have 1 or 3 channels, got {shape}; convert them")
        return last

    def _read_file(self, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        header, content = self._read_header(path), _load(path, with_images=True)
        labels = content.labels
        if labels is not None and labels.shape != (header.shape[0],):
            raise DataError(
                f"{path}: {header.shape[0]} images need labels of shape ({header.shape[0]},), got "
                f"{labels.shape}; give one label per image or none"
            )
        images = to_uint8(content.images, what=str(path))
        if len(header.shape) == _FLAT:
            images = images[:, None]
        elif header.channels_last:
            images = images.transpose(0, 3, 1, 2)
        return fit_arrays(images, side=self._side), labels


@dataclass(frozen=True, slots=True)
class _Content:
    images: Any
    labels: np.ndarray | None


def _load(path: Path, *, with_images: bool = False) -> _Content:
    """Labels, and the images where wanted."""
    try:
        if not (with_images or zipfile.is_zipfile(path)):
            return _Content(images=None, labels=None)
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return _Content(images=content, labels=None)
        with content:
            label_key = next((key for key in _LABEL_KEYS if key in content.files), None)
            labels = None if label_key is None else content[label_key]
            images = content[_image_key(content.files, path=path)] if with_images else None
            return _Content(images=images, labels=labels)
    except DataError:
        raise
    except _BAD_FILE as error:
        raise _unreadable(path, error) from error


def _image_shape_in(path: Path) -> tuple[int, ...]:
    """Shape of the images, from the header alone."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return _npy_shape(file)
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            with archive.open(f"{_image_key(keys, path=path)}.npy") as member:
                return _npy_shape(member)
    except DataError:
        raise
    except _BAD_FILE as error:
        raise _unreadable(path, error) from error


def _npy_shape(file: IO[bytes]) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return tuple(np.lib.format.read_array_header_1_0(file)[0])
    return tuple(np.lib.format.read_array_header_2_0(file)[0])


def _image_key(keys: list[str], *, path: Path) -> str:
    key = next((key for key in _IMAGE_KEYS if key in keys), None)
    if key is None:
        raise DataError(
            f"{path}: no array named {', '.join(_IMAGE_KEYS)}; it has {', '.join(keys) or 'none'}; "
            "save your images under one of these names"
        )
    return key


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: not a readable .npz or .npy file ({error}); save it again")
