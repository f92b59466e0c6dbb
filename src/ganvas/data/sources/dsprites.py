"""dSprites from its original file (Matthey et al. 2017)."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from ganvas.data.content import FileSet, file_set, first_missing, source_fingerprint
from ganvas.data.decode import fit_arrays
from ganvas.data.factors import TEST_SHARE, tenth
from ganvas.data.options import whole
from ganvas.data.order import share
from ganvas.errors import DataError, GanvasWarning
from ganvas.types import ImageShape, Split

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
REPOSITORY = "google-deepmind/dsprites-dataset"

_SIZES = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
_NUM = prod(_SIZES.values())
_SIDE = 64
_CHUNK = 8192
"""Images decompressed at a time, 32 MiB."""

_BAD_FILE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class DSprites:
    """737,280 white squares, ellipses and hearts on black, 64×64, by known factors.

    Factors are the file's `latents_classes` without the colour, which has one value: shape (the
    class label), scale, orientation, x and y. The pixels 0 and 1 become 0 and 255. The test split
    is a tenth; it and the order of the images are chosen by a hash.

    Only the arrays `imgs` and `latents_classes` are read; the file's `metadata` is a pickle and
    stays unopened. Images are decompressed in chunks, so that the most memory used is that of one
    split as uint8: 2.7 GB for train at the native size.

    Args:
        root: folder of the file.
        image_size: side in pixels; other than 64, the images are resized (antialiased bilinear).
    """

    def __init__(self, root: str | Path, *, image_size: int = _SIDE) -> None:
        self._root = Path(root).expanduser()
        self._side = whole("image_size", image_size, least=1)

    @property
    def image_shape(self) -> ImageShape:
        """(1, side, side)."""
        return (1, self._side, self._side)

    @property
    def num_classes(self) -> int | None:
        """Three shapes."""
        return _SIZES["shape"]

    @property
    def factor_names(self) -> tuple[str, ...]:
        """shape, scale, orientation, x, y."""
        return tuple(_SIZES)

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor: 3, 6, 40, 32, 32."""
        return tuple(_SIZES.values())

    @property
    def recipe(self) -> str:
        """Name, side and size of the test split."""
        return f"dSprites {self._side} {TEST_SHARE}"

    def count(self, split: Split) -> int | None:
        """Known in advance: 663,552 and 73,728."""
        num_test = share(TEST_SHARE, num=_NUM)
        return num_test if split == "test" else _NUM - num_test

    def files(self) -> FileSet:
        """The one file.

        Raises:
            DataError: it is missing.
        """
        files = file_set(self._root, [FILE])
        if first_missing(files) is not None:
            raise DataError(
                f"{files.paths[0]} is missing; get it from the repository {REPOSITORY} on GitHub "
                "(it is not downloaded for you), or choose dataset=sprites"
            )
        return files

    def fingerprint(self) -> str:
        """Hash of the file and the size."""
        return source_fingerprint(self)

    def factors(self, split: Split) -> np.ndarray:
        """int64 `(N, F)`: which value each factor takes in each image.

        Raises:
            DataError: the file is missing or is not what it should be.
        """
        rows = self._rows()
        return rows[tenth(len(rows), split=split, name="dsprites")]

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images and shapes as labels.

        Raises:
            DataError: the file is missing or is not what it should be.
        """
        rows = self._rows()
        if len(rows) != _NUM:
            found = f"dSprites: {_NUM} images expected, {len(rows)} found"
            warnings.warn(found, GanvasWarning, stacklevel=2)
        kept = tenth(len(rows), split=split, name="dsprites")
        images = np.empty((len(kept), *self.image_shape), dtype=np.uint8)
        sorter, first = np.argsort(kept), 0
        for chunk in self._chunks(len(rows)):
            low, high = np.searchsorted(kept, (first, first + len(chunk)), sorter=sorter)
            mine = sorter[low:high]
            images[mine] = fit_arrays(255 * chunk[kept[mine] - first, None], side=self._side)
            first += len(chunk)
        return images, rows[kept, 0]

    def _rows(self) -> np.ndarray:
        """Factors of all images, int64 `(N, F)`."""
        with self._archive() as archive, archive.open("latents_classes.npy") as member:
            classes = np.lib.format.read_array(member, allow_pickle=False)
            sizes = np.array([1, *_SIZES.values()])
            if classes.shape[1:] != sizes.shape or not np.issubdtype(classes.dtype, np.integer):
                raise ValueError(f"latents_classes are {classes.dtype} {classes.shape}")
            if not ((classes >= 0) & (classes < sizes)).all():
                raise ValueError(f"latents_classes must be below {sizes.tolist()}")
            return classes[:, 1:].astype(np.int64)

    def _chunks(self, num: int) -> Iterator[np.ndarray]:
        """All images in order, 0 and 1, uint8 `(up to 8,192, 64, 64)` at a time."""
        with self._archive() as archive, archive.open("imgs.npy") as member:
            if _header(member) != ((num, _SIDE, _SIDE), False, np.dtype(np.uint8)):
                raise ValueError(f"imgs are not {num} uint8 images of {_SIDE}x{_SIDE}")
            for first in range(0, num, _CHUNK):
                shape = (min(_CHUNK, num - first), _SIDE, _SIDE)
                chunk = np.frombuffer(member.read(prod(shape)), dtype=np.uint8).reshape(shape)
                if chunk.max() > 1:
                    raise ValueError(f"imgs must be 0 or 1, got {chunk.max()}")
                yield chunk

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        """The open file; what is wrong within becomes a `DataError` with the remedy."""
        (path,) = self.files().paths
        try:
            with zipfile.ZipFile(path) as archive:
                yield archive
        except _BAD_FILE as error:
            raise DataError(
                f"{path}: not the dSprites file ({type(error).__name__}: {error}); "
                f"get it again from the repository {REPOSITORY} on GitHub"
            ) from error


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of an array in a `.npy` stream."""
    if np.lib.format.read_magic(member) == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
