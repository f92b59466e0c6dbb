"""The classic data sets in torchvision's layout, one function each.

Shapes, class numbers and counts are known in advance, so that a config can be checked without
files. Files are found under `root` as torchvision lays them out; where they are absent,
torchvision downloads them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.data.sources.array_set import Arrays, ArraySet, TorchvisionArrays
from ganvas.types import Split


def _grey(data: Any) -> np.ndarray:
    return np.asarray(data)[:, None]


def _labels(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)


_IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _idx_set(folder: str, read: Callable[[str, Split, bool], Arrays]) -> ArraySet:
    """MNIST or one of the sets made after it."""
    return ArraySet(
        name=folder,
        files=tuple(f"{folder}/raw/{file}-ubyte" for file in _IDX_FILES),
        shape=(1, 28, 28),
        num_classes=10,
        counts={"train": 60_000, "test": 10_000},
        open=read,
    )


def _read_mnist(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import MNIST

    data = MNIST(root, train=split == "train", download=download)
    return _grey(data.data), _labels(data.targets)


def _read_fashion_mnist(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import FashionMNIST

    data = FashionMNIST(root, train=split == "train", download=download)
    return _grey(data.data), _labels(data.targets)


def _read_kmnist(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import KMNIST

    data = KMNIST(root, train=split == "train", download=download)
    return _grey(data.data), _labels(data.targets)


def _read_cifar10(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import CIFAR10

    data = CIFAR10(root, train=split == "train", download=download)
    return data.data.transpose(0, 3, 1, 2), _labels(data.targets)


def _read_cifar100(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import CIFAR100

    data = CIFAR100(root, train=split == "train", download=download)
    return data.data.transpose(0, 3, 1, 2), _labels(data.targets)


def _read_svhn(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import SVHN

    data = SVHN(root, split=split, download=download)
    return data.data, _labels(data.labels)


def _read_stl10(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import STL10

    data = STL10(root, split=split, download=download)
    return data.data, _labels(data.labels)


def _read_stl10_unlabelled(root: str, split: Split, download: bool) -> Arrays:
    from torchvision.datasets import STL10

    data = STL10(root, split="unlabeled" if split == "train" else "test", download=download)
    return data.data, None


def mnist(root: str | Path, *, image_size: int = 28, download: bool = True) -> TorchvisionArrays:
    """Handwritten digits (LeCun et al. 1998)."""
    arrays = _idx_set("MNIST", _read_mnist)
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def fashion_mnist(
    root: str | Path, *, image_size: int = 28, download: bool = True
) -> TorchvisionArrays:
    """Articles of clothing (Xiao et al. 2017)."""
    arrays = _idx_set("FashionMNIST", _read_fashion_mnist)
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def kmnist(root: str | Path, *, image_size: int = 28, download: bool = True) -> TorchvisionArrays:
    """Cursive Japanese characters (Clanuwat et al. 2018)."""
    arrays = _idx_set("KMNIST", _read_kmnist)
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def cifar10(root: str | Path, *, image_size: int = 32, download: bool = True) -> TorchvisionArrays:
    """Ten classes of small colour photographs (Krizhevsky 2009)."""
    batches = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
    arrays = ArraySet(
        name="CIFAR10",
        files=tuple(f"cifar-10-batches-py/{file}" for file in batches),
        shape=(3, 32, 32),
        num_classes=10,
        counts={"train": 50_000, "test": 10_000},
        open=_read_cifar10,
    )
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def cifar100(root: str | Path, *, image_size: int = 32, download: bool = True) -> TorchvisionArrays:
    """A hundred classes of small colour photographs (Krizhevsky 2009); labels are the fine ones."""
    arrays = ArraySet(
        name="CIFAR100",
        files=tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta")),
        shape=(3, 32, 32),
        num_classes=100,
        counts={"train": 50_000, "test": 10_000},
        open=_read_cifar100,
    )
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def svhn(root: str | Path, *, image_size: int = 32, download: bool = True) -> TorchvisionArrays:
    """House numbers, cropped digits (Netzer et al. 2011); the digit 0 has label 0."""
    arrays = ArraySet(
        name="SVHN",
        files=("train_32x32.mat", "test_32x32.mat"),
        shape=(3, 32, 32),
        num_classes=10,
        counts={"train": 73_257, "test": 26_032},
        open=_read_svhn,
    )
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)


def stl10(
    root: str | Path, *, image_size: int = 96, unlabelled: bool = False, download: bool = True
) -> TorchvisionArrays:
    """Photographs of ten classes, 96×96 (Coates et al. 2011).

    Args:
        root: torchvision's root folder.
        image_size: side in pixels.
        unlabelled: train on the 100,000 unlabelled images in place of the 5,000 labelled ones;
            then the test split has no labels either.
        download: whether absent files may be downloaded.
    """
    train = ("unlabeled_X.bin",) if unlabelled else ("train_X.bin", "train_y.bin")
    names = (*train, "test_X.bin", "test_y.bin", "class_names.txt")
    arrays = ArraySet(
        name="STL10 unlabelled" if unlabelled else "STL10",
        files=tuple(f"stl10_binary/{file}" for file in names),
        shape=(3, 96, 96),
        num_classes=0 if unlabelled else 10,
        counts={"train": 100_000 if unlabelled else 5_000, "test": 8_000},
        open=_read_stl10_unlabelled if unlabelled else _read_stl10,
    )
    return TorchvisionArrays(arrays, root=root, image_size=image_size, download=download)
