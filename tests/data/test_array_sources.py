"""The bundled digits, NumPy files and a user's own torch data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data import ImageData
from ganvas.data.decode import fit_arrays, to_uint8
from ganvas.data.sources import Arrays, Digits, FromDataset
from ganvas.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


def test_digits_keep_every_image_once_and_their_classes_in_proportion() -> None:
    from sklearn.datasets import load_digits

    source = Digits()
    (train, train_labels), (test, test_labels) = source.read("train"), source.read("test")
    assert (train.shape, test.shape) == ((1500, 1, 8, 8), (297, 1, 8, 8))
    bundle = load_digits()
    expected = np.floor(bundle.images * 255 / 16 + 0.5).astype(np.uint8)
    both = np.concatenate([train, test])[:, 0].reshape(1797, 64)
    assert sorted(map(bytes, both)) == sorted(map(bytes, expected.reshape(1797, 64)))
    assert train_labels is not None
    assert test_labels is not None
    share = np.bincount(test_labels) / np.bincount(bundle.target)
    assert np.abs(share - 297 / 1797).max() < 0.01
    assert train.max() == 255


def test_digits_split_ignores_the_split_seed() -> None:
    tests = []
    for split_seed in (0, 1):
        data = ImageData(Digits(), batch_size=50, split_seed=split_seed, val_size=100)
        data.prepare()
        loader = data.loader("test", value_range=(0, 1), seed=split_seed)
        tests.append(torch.cat([batch.x for batch in loader]))
    assert torch.equal(*tests)


def test_digits_of_another_size_and_of_another_content(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Digits(image_size=16)
    assert source.image_shape == (1, 16, 16)
    assert source.read("test")[0].shape == (297, 1, 16, 16)
    assert source.fingerprint() != Digits().fingerprint()
    monkeypatch.setattr("ganvas.data.sources.digits._SHA256", "0" * 64)
    with pytest.raises(DataError, match="digits have changed"):
        Digits().read("train")


IMAGES = RNG.integers(0, 256, (10, 3, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "shape"),
    [
        ("a.npy", IMAGES, (3, 6, 5)),
        ("a.npy", IMAGES.transpose(0, 2, 3, 1), (3, 6, 5)),
        ("a.npy", IMAGES[:, 0], (1, 6, 5)),
        ("a.npz", {"images": IMAGES}, (3, 6, 5)),
        ("a.npz", {"x": IMAGES, "y": np.arange(10)}, (3, 6, 5)),
        ("a.npz", {"arr_0": IMAGES}, (3, 6, 5)),
        ("a.npz", {"images": IMAGES / 255.0, "labels": np.arange(10)}, (3, 6, 5)),
        ("a.npz", {"images": (IMAGES / 255.0).astype(np.float32)}, (3, 6, 5)),
    ],
)
def test_arrays_come_in_many_layouts(
    tmp_path: Path, name: str, content: Any, shape: tuple[int, int, int]
) -> None:
    path = tmp_path / name
    labelled = isinstance(content, dict) and len(content) == 2
    np.savez(path, **content) if isinstance(content, dict) else np.save(path, content)
    source = Arrays(path, test_size=0)
    assert source.image_shape == shape
    assert (source.count("train"), source.count("test")) == (10, 0)
    assert source.num_classes == (10 if labelled else 0)
    images, labels = source.read("train")
    assert np.array_equal(images, IMAGES if shape[0] == 3 else IMAGES[:, :1])
    assert (labels is not None) == labelled


def test_arrays_split_is_fixed_or_from_a_second_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.arange(10))
    source = Arrays(tmp_path / "a.npz", test_size=0.3)
    train, test = source.read("train")[1], source.read("test")[1]
    assert train is not None
    assert test is not None
    assert (len(train), len(test)) == (7, 3)
    assert sorted([*train, *test]) == list(range(10))
    np.savez(tmp_path / "b.npz", images=IMAGES[:4], labels=np.arange(4))
    both = Arrays(tmp_path / "a.npz", test_path=tmp_path / "b.npz")
    assert (both.count("train"), both.count("test")) == (10, 4)
    assert np.array_equal(both.read("test")[0], IMAGES[:4])
    data = ImageData(both, batch_size=5, cache_dir=tmp_path / "cache")
    data.prepare()
    assert (data.counts, data.num_classes) == ({"train": 10, "val": 0, "test": 4}, 10)


def test_array_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "a.npy", IMAGES)
    first, moved = (Arrays(tmp_path / name / "a.npy").fingerprint() for name in ("one", "two"))
    assert first == moved
    np.save(tmp_path / "two/a.npy", IMAGES[::-1])
    assert Arrays(tmp_path / "two/a.npy").fingerprint() != first


BAD_ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"images": IMAGES.astype(np.int32)}, r"must be uint8 or float in \[0, 1\], got int32"),
    ({"images": IMAGES / 100.0}, r"must lie in \[0, 1\], got \[0, 2.55\]"),
    ({"images": np.full((4, 5, 5), np.nan)}, r"must lie in \[0, 1\], got \[nan, nan\]"),
    ({"images": IMAGES[:, 0, 0]}, r"must be \(N, H, W\).*got \(10, 5\)"),
    ({"images": IMAGES[:, :2]}, r"1 or 3 channels, got \(10, 2, 6, 5\)"),
    ({"images": IMAGES[..., :3]}, r"could be \(N, C, H, W\) or \(N, H, W, C\)"),
    ({"images": IMAGES, "labels": np.arange(9)}, r"10 images need labels of shape \(10,\)"),
    ({"pictures": IMAGES}, r"no array named images, x, arr_0; it has pictures"),
]


@pytest.mark.parametrize(("content", "message"), BAD_ARRAYS)
def test_bad_arrays_are_refused_by_file(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=rf"a.npz: .*{message}"):
        ImageData(Arrays(tmp_path / "a.npz"), batch_size=2).prepare()


def test_missing_damaged_and_pickled_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.npz: no such file; set dataset.root"):
        _ = Arrays(tmp_path / "a.npz").image_shape
    assert Arrays(tmp_path / "a.npz").count("train") is None
    np.savez(tmp_path / "a.npz", images=IMAGES)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"not a readable .npz or .npy"):
        ImageData(Arrays(tmp_path / "a.npz"), batch_size=2).prepare()
    np.save(tmp_path / "b.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(DataError):
        ImageData(Arrays(tmp_path / "b.npy"), batch_size=2).prepare()
    np.save(tmp_path / "c.npy", IMAGES)
    (tmp_path / "c.npy").write_bytes((tmp_path / "c.npy").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"c.npy: not a readable"):
        ImageData(Arrays(tmp_path / "c.npy"), batch_size=2).prepare()


def test_ambiguous_layout_is_settled_by_the_key(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES[..., :3])
    assert Arrays(tmp_path / "a.npy", layout="nchw").image_shape == (3, 6, 3)
    assert Arrays(tmp_path / "a.npy", layout="nhwc").image_shape == (3, 3, 6)
    with pytest.raises(ConfigError, match="layout: must be nhwc, nchw or null"):
        Arrays(tmp_path / "a.npy", layout="chw")


def test_fitting_arrays_crops_the_centre_and_resizes() -> None:
    assert fit_arrays(IMAGES, side=None) is IMAGES
    assert np.array_equal(fit_arrays(IMAGES, side=5), IMAGES[:, :, :5])
    plain = np.full((3, 1, 9, 12), 77, dtype=np.uint8)
    assert np.array_equal(fit_arrays(plain, side=4), np.full((3, 1, 4, 4), 77))
    steps = np.zeros((1, 1, 4, 4), dtype=np.uint8)
    steps[..., 2:] = 255
    small = fit_arrays(steps, side=2)[0, 0, 0]
    assert small[0] + small[1] in (254, 255, 256)
    assert small[0] < 64


def test_floats_are_rounded_to_eight_bits() -> None:
    every = np.arange(256, dtype=np.uint8)
    for dtype in (np.float32, np.float64):
        assert np.array_equal(to_uint8((every / 255).astype(dtype), what="x"), every)


class Items:
    """A minimal map-style data set."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.reads = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return self.items[index]


PICTURES = [image.transpose(1, 2, 0) for image in IMAGES]
KINDS: dict[str, list[Any]] = {
    "tensors": [torch.from_numpy(image) for image in IMAGES],
    "float tensors": [torch.from_numpy(image) / 255 for image in IMAGES],
    "arrays": PICTURES,
    "pairs": [(image, 3) for image in PICTURES],
    "pairs with tensor labels": [(torch.from_numpy(i), torch.tensor(3)) for i in IMAGES],
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_own_data_sets_of_many_kinds(kind: str) -> None:
    source = FromDataset(Items(KINDS[kind]), test=Items(KINDS[kind][:2]))  # type: ignore[arg-type]
    assert source.image_shape == (3, 6, 5)
    images, labels = source.read("train")
    assert np.array_equal(images, IMAGES)
    assert (labels is not None) == ("pairs" in kind)
    assert len(source.read("test")[0]) == 2
    assert (source.count("train"), source.count("test")) == (10, 2)


def test_own_data_set_of_pictures_is_resized() -> None:
    items = Items([Image.fromarray(picture) for picture in PICTURES])
    source = FromDataset(items, image_size=4, channels=1)  # type: ignore[arg-type]
    assert source.read("train")[0].shape == (10, 1, 4, 4)


def test_version_spares_reading_a_cached_data_set(tmp_path: Path) -> None:
    def open_it(version: str | None) -> Items:
        items = Items([(image, 1) for image in PICTURES])
        source = FromDataset(items, version=version)  # type: ignore[arg-type]
        data = ImageData(source, batch_size=2, cache_dir=tmp_path)
        data.prepare()
        assert data.num_classes == 2
        return items

    assert open_it("1").reads >= 10
    assert open_it("1").reads < 10
    assert open_it("2").reads >= 10
    assert open_it(None).reads >= 10
    assert open_it(None).reads >= 10


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([PICTURES[0], PICTURES[1][:4]], r"train item 1: all items must be alike, \(3, 6, 5\)"),
        ([PICTURES[0], (PICTURES[1], 1)], r"train item 1: all items must be alike"),
        ([PICTURES[0].astype(int)], r"item 0: .*uint8 or float"),
        ([PICTURES[0] / 100.0], r"item 0: .*\[0, 1\]"),
        ([PICTURES[0][..., :2]], r"item 0: .*1 or 3 channels"),
        ([(PICTURES[0], "cat")], r"item 0: .*integer label"),
    ],
)
def test_bad_items_are_refused_by_index(items: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FromDataset(Items(items)).read("train")  # type: ignore[arg-type]
