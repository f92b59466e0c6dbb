"""CelebA: faces of celebrities, aligned (Liu et al. 2015)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganvas.data.content import Decoded, FileSet, file_set, source_fingerprint
from ganvas.data.decode import Fit, decode_files
from ganvas.data.options import whole
from ganvas.data.sources.array_set import downloading
from ganvas.errors import DataError
from ganvas.types import ImageShape, Split

_COUNTS = {"train": 162_770, "test": 19_962}
_PARTITION = {"train": "0", "test": "2"}


class CelebA:
    """Colour faces, 178×218; the centred 178×178 square is resized to `image_size`.

    Train and test are the official partitions 0 and 2; partition 1 (19,867 images) is left
    unused, as validation is always a part of train here. There are no class labels. Files are
    those of torchvision: `celeba/img_align_celeba/*.jpg` and `celeba/list_eval_partition.txt`
    under `root`.

    Args:
        root: torchvision's root folder.
        image_size: side in pixels, up to 178.
        download: whether absent files may be downloaded.
    """

    def __init__(self, root: str | Path, *, image_size: int = 64, download: bool = True) -> None:
        self._root = Path(root).expanduser()
        self._fit = Fit(side=whole("image_size", image_size, least=1), channels=3)
        self._download = download

    @property
    def image_shape(self) -> ImageShape:
        """(3, side, side)."""
        return (3, self._fit.side, self._fit.side)

    @property
    def num_classes(self) -> int | None:
        """0: attributes are not classes."""
        return 0

    @property
    def recipe(self) -> str:
        """Name and size."""
        return f"CelebA {self._fit}"

    def count(self, split: Split) -> int | None:
        """Known in advance."""
        return _COUNTS.get(split, 0)

    def files(self) -> FileSet:
        """The partition list and the images it names for train and test.

        Raises:
            DataError: absent, and no download possible.
        """
        self._fetch()
        names = [f"img_align_celeba/{name}" for split in _PARTITION for name in self._names(split)]
        return file_set(self._folder, [*names, self._partition_file.name])

    def fingerprint(self) -> str:
        """Hash of the files and the size."""
        return source_fingerprint(self)

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images; raises `DataError` for one that can't be decoded."""
        decoded = self._decode(split, skip_bad=False)
        return decoded.images, None

    def read_valid(self, split: Split) -> Decoded:
        """The images that can be decoded, and the reasons why others can't."""
        return self._decode(split, skip_bad=True)

    def _decode(self, split: Split, *, skip_bad: bool) -> Decoded:
        self._fetch()
        paths = [self._images / name for name in self._names(split)]
        images, _, skipped = decode_files(paths, fit=self._fit, skip_bad=skip_bad)
        return Decoded(images=images, labels=None, skipped=skipped)

    @property
    def _folder(self) -> Path:
        return self._root / "celeba"

    @property
    def _images(self) -> Path:
        return self._folder / "img_align_celeba"

    @property
    def _partition_file(self) -> Path:
        return self._folder / "list_eval_partition.txt"

    def _names(self, split: str) -> list[str]:
        """File names of a split, from lines of `<name> <partition>`."""
        rows = [line.split() for line in self._partition_file.read_text().splitlines()]
        names = [row[0] for row in rows if row[1:] == [_PARTITION[split]]]
        if not names:
            raise DataError(
                f"{self._partition_file}: no line '<file> {_PARTITION[split]}' for the {split} "
                "split; delete the file and fetch it again"
            )
        return names

    @property
    def _present(self) -> bool:
        return self._partition_file.is_file() and self._images.is_dir()

    def _fetch(self) -> None:
        if self._present:
            return
        remedy = (
            f"put img_align_celeba/ and list_eval_partition.txt under {self._folder}, "
            "or choose dataset=digits"
        )
        if not self._download:
            raise DataError(f"{self._folder}: CelebA is missing and download is off; {remedy}")
        from torchvision.datasets import CelebA as TorchvisionCelebA

        with downloading("CelebA", root=self._root, remedy=remedy):
            if not self._present:  # another process may have fetched it
                TorchvisionCelebA(str(self._root), download=True)
