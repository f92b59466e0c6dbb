"""Classic data sets: real MNIST where there is one, else fixture files in the real format.

Only MNIST was ever read from its real files here; the tests with `fixture` in their names write
tiny files in the format of the others and switch torchvision's checksums off.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_helpers import save

from ganvas.data import ImageData, sources
from ganvas.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
NUM_TRAIN, NUM_TEST = 6, 4


def random_images(num: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (num, *shape), dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.tobytes())


def idx_files(root: Path, folder: str) -> dict[str, np.ndarray]:
    images = {}
    for split, prefix, num in (("train", "train", NUM_TRAIN), ("test", "t10k", NUM_TEST)):
        images[split] = random_images(num, 28, 28)
        write_idx(root / folder / f"raw/{prefix}-images-idx3-ubyte", images[split])
        labels = np.arange(num, dtype=np.uint8)
        write_idx(root / folder / f"raw/{prefix}-labels-idx1-ubyte", labels)
    return {split: array[:, None] for split, array in images.items()}


def cifar_files(root: Path, *, names: dict[str, str], label: bytes) -> dict[str, np.ndarray]:
    root.mkdir(parents=True)
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for name, split in names.items():
        images = random_images(NUM_TEST if split == "test" else NUM_TRAIN, 3, 32, 32)
        content = {b"data": images.reshape(len(images), -1), label: list(range(len(images)))}
        (root / name).write_bytes(
            pickle.dumps({key.decode(): value for key, value in content.items()})
        )
        parts[split].append(images)
    return {split: np.concatenate(images) for split, images in parts.items()}


def cifar10_files(root: Path) -> dict[str, np.ndarray]:
    names = {**{f"data_batch_{i}": "train" for i in range(1, 6)}, "test_batch": "test"}
    folder = root / "cifar-10-batches-py"
    images = cifar_files(folder, names=names, label=b"labels")
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    return images


def cifar100_files(root: Path) -> dict[str, np.ndarray]:
    folder = root / "cifar-100-python"
    images = cifar_files(folder, names={"train": "train", "test": "test"}, label=b"fine_labels")
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list("abc")}))
    return images


def svhn_files(root: Path) -> dict[str, np.ndarray]:
    from scipy.io import savemat

    images = {}
    for split, num in (("train", NUM_TRAIN), ("test", NUM_TEST)):
        images[split] = random_images(num, 3, 32, 32)
        labels = np.arange(num)[:, None]
        labels[labels == 0] = 10  # as the site has it
        content = {"X": images[split].transpose(2, 3, 1, 0), "y": labels}
        savemat(root / f"{split}_32x32.mat", content)
    return images


def stl10_files(root: Path) -> dict[str, np.ndarray]:
    folder = root / "stl10_binary"
    folder.mkdir()
    images = {}
    for split, num in (("train", NUM_TRAIN), ("test", NUM_TEST), ("unlabeled", 8)):
        images[split] = random_images(num, 3, 96, 96)
        images[split].transpose(0, 1, 3, 2).tofile(folder / f"{split}_X.bin")
        if split != "unlabeled":
            (np.arange(num, dtype=np.uint8) + 1).tofile(folder / f"{split}_y.bin")
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    return images


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixture files can't have the checksums of the real ones."""

    def exists(path: Any, _md5: str | None = None) -> bool:
        return Path(path).exists()

    for module in ("cifar", "svhn", "stl10"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", exists)


Case = tuple[Callable[..., Any], Callable[[Path], dict[str, np.ndarray]], int]
CASES: dict[str, Case] = {
    "fashion_mnist": (sources.fashion_mnist, lambda root: idx_files(root, "FashionMNIST"), 10),
    "kmnist": (sources.kmnist, lambda root: idx_files(root, "KMNIST"), 10),
    "mnist": (sources.mnist, lambda root: idx_files(root, "MNIST"), 10),
    "cifar10": (sources.cifar10, cifar10_files, 10),
    "cifar100": (sources.cifar100, cifar100_files, 100),
    "svhn": (sources.svhn, svhn_files, 10),
    "stl10": (sources.stl10, stl10_files, 10),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", list(CASES))
def test_fixture_files_in_the_real_format_are_read(tmp_path: Path, name: str) -> None:
    make, write, num_classes = CASES[name]
    expected = write(tmp_path)
    source = make(tmp_path, download=False)
    assert source.num_classes == num_classes
    for split in ("train", "test"):
        with pytest.warns(UserWarning, match=f"{split} images expected, {len(expected[split])}"):
            images, labels = source.read(split)
        assert np.array_equal(images, expected[split])
        assert images.shape[1:] == source.image_shape
        assert labels is not None
        assert set(labels[:NUM_TEST]) == set(range(NUM_TEST))
    assert len(source.fingerprint()) == 64


@pytest.mark.usefixtures("unchecked")
def test_fixture_stl10_unlabelled(tmp_path: Path) -> None:
    expected = stl10_files(tmp_path)
    source = sources.stl10(tmp_path, unlabelled=True, download=False)
    assert (source.num_classes, source.count("train")) == (0, 100_000)
    with pytest.warns(UserWarning, match="100000 train images expected"):
        images, labels = source.read("train")
    assert np.array_equal(images, expected["unlabeled"])
    assert labels is None


def test_fixture_svhn_zero_has_label_zero(tmp_path: Path, unchecked: None) -> None:
    svhn_files(tmp_path)
    with pytest.warns(UserWarning, match="expected"):
        _, labels = sources.svhn(tmp_path, download=False).read("train")
    assert labels is not None
    assert labels.tolist() == list(range(NUM_TRAIN))


def test_fixture_celeba_reads_partitions_and_crops(tmp_path: Path) -> None:
    folder = tmp_path / "celeba"
    image = np.full((218, 178, 3), 50, dtype=np.uint8)
    image[:18] = image[-18:] = 250  # outside the centred square
    lines = []
    for index, partition in enumerate([0, 0, 0, 1, 2, 2]):
        save(folder / f"img_align_celeba/{index:06}.png", image + index)
        lines.append(f"{index:06}.png {partition}")
    (folder / "list_eval_partition.txt").write_text("\n".join(lines))
    source = sources.CelebA(tmp_path, image_size=64, download=False)
    assert (source.count("train"), source.count("test")) == (162_770, 19_962)
    (train, labels), (test, _) = source.read("train"), source.read("test")
    assert labels is None
    assert (train.shape, test.shape) == ((3, 3, 64, 64), (2, 3, 64, 64))
    assert train[:, 0, 32, 32].tolist() == [50, 51, 52]
    assert test.max() < 60
    (folder / "img_align_celeba/000004.png").write_text("broken")
    with pytest.raises(DataError, match=r"000004.png: not a readable image"):
        source.read("test")
    assert len(source.read_valid("test").images) == 1
    (folder / "list_eval_partition.txt").write_text("000000.png 0\n")
    with pytest.raises(DataError, match=r"list_eval_partition.txt: no line .* test"):
        source.files()


ALL: dict[str, Callable[..., Any]] = {
    **{name: make for name, (make, _, _) in CASES.items()},
    "celeba": sources.CelebA,
}


@pytest.mark.parametrize("name", list(ALL))
def test_refused_download_says_what_to_do(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data = ImageData(ALL[name](tmp_path), batch_size=2, cache_dir=tmp_path / "cache")
    with pytest.raises(DataError, match=r"download failed .*put .* under .*dataset=digits"):
        data.prepare()
    assert socket.getdefaulttimeout() is None
    offline = ImageData(ALL[name](tmp_path, download=False), batch_size=2)
    with pytest.raises(DataError, match=r"missing and download is off; put .*dataset=digits"):
        offline.prepare()


@pytest.mark.parametrize("name", list(ALL))
def test_config_is_checked_without_files(name: str) -> None:
    data = ImageData(ALL[name]("/nowhere"), batch_size=100, val_size=0.1)
    steps = data.steps_per_epoch()
    assert data.image_shape[0] in (1, 3)
    assert steps is not None
    assert steps > 10
    with pytest.raises(ConfigError, match="image_size: must be at least 1"):
        ALL[name]("/nowhere", image_size=0)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    idx_files(tmp_path, "MNIST")
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"MNIST/raw: the MNIST files can't be read .*delete them"):
        sources.mnist(tmp_path, download=False).read("train")
    cifar10_files(tmp_path)  # with checksums on, fixture files count as damaged
    with pytest.raises(DataError, match=r"CIFAR10 files can't be read"):
        sources.cifar10(tmp_path, download=False).read("train")


def test_other_sizes_are_resized(tmp_path: Path) -> None:
    idx_files(tmp_path, "MNIST")
    source = sources.mnist(tmp_path, image_size=32, download=False)
    with pytest.warns(UserWarning, match="expected"):
        images, _ = source.read("train")
    assert images.shape == (NUM_TRAIN, *source.image_shape) == (NUM_TRAIN, 1, 32, 32)
    assert source.fingerprint() != sources.mnist(tmp_path).fingerprint()


def mnist_root() -> Path:
    root = Path(os.environ.get("GANVAS_DATA_DIR", "data"))
    if not (root / "MNIST/raw/train-images-idx3-ubyte").exists():
        pytest.skip(f"no real MNIST under {root} (set GANVAS_DATA_DIR)")
    return root


@pytest.mark.mnist
def test_stored_mnist_is_torchvisions_bit_for_bit(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    root = mnist_root()
    for _ in range(2):  # decoded, then from the cache
        data = ImageData(sources.mnist(root), batch_size=128, cache_dir=tmp_path)
        data.prepare()
        assert data.counts == {"train": 60_000, "val": 0, "test": 10_000}
        assert data._store is not None
        for train, stored in ((True, data._store.train), (False, data._store.test)):
            theirs = MNIST(str(root), train=train)
            assert np.array_equal(stored.images[:, 0], theirs.data.numpy())
            assert np.array_equal(stored.labels, theirs.targets.numpy())  # type: ignore[arg-type]
    batch = next(iter(data.loader("test", value_range=(0.0, 1.0), seed=0)))
    assert torch.equal(batch.x[:, 0], theirs.data[:128].float() / 255)
