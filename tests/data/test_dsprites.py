"""dSprites from small files in the format of the original, which was not available here."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvas.data import ImageData
from ganvas.data.sources import DSprites, dsprites
from ganvas.errors import DataError
from ganvas.protocols import HasFactors

SIZES = (1, 3, 6, 40, 32, 32)
NUM = 240
NAME = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


class Trap:
    """Unpickling it is an error that nothing catches."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the file's metadata was unpickled",))


def arrays(num: int = NUM) -> dict[str, Any]:
    """What the original holds: a dot where x and y say, as large as the scale."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, SIZES, (num, len(SIZES)))
    imgs = np.zeros((num, 64, 64), dtype=np.uint8)
    for image, (_, _, scale, _, x, y) in zip(imgs, classes, strict=True):
        image[16 + y, 16 + x : 16 + x + scale + 1] = 1
    return {
        "metadata": np.array({"author": Trap()}, dtype=object),
        "imgs": imgs,
        "latents_classes": classes,
        "latents_values": classes / np.array(SIZES),
    }


def write(folder: Path, content: dict[str, Any]) -> DSprites:
    np.savez_compressed(folder / NAME, **content)
    return DSprites(folder)


@pytest.fixture(autouse=True)
def _few_are_enough() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="dSprites: 737280 images expected")
        yield


def test_images_factors_and_labels_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dsprites, "_CHUNK", 7)  # so that there are several, the last one short
    content = arrays()
    source = write(tmp_path, content)
    assert isinstance(source, HasFactors)
    assert source.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert source.factor_sizes == SIZES[1:]
    found = []
    for split, num in (("train", NUM * 9 // 10), ("test", NUM // 10)):
        (images, labels), rows = source.read(split), source.factors(split)
        assert (images.shape, images.dtype) == ((num, 1, 64, 64), np.uint8)
        assert np.array_equal(labels, rows[:, 0])
        for image, (_, scale, _, x, y) in zip(images[:, 0], rows, strict=True):
            lit = np.argwhere(image == 255)
            assert lit.tolist() == [[16 + y, 16 + x + step] for step in range(scale + 1)]
            assert image.sum() == 255 * (scale + 1)
        found += [(*row, image.tobytes()) for row, image in zip(rows.tolist(), images, strict=True)]
    wanted = zip(content["latents_classes"][:, 1:].tolist(), 255 * content["imgs"], strict=True)
    assert sorted(found) == sorted((*row, image.tobytes()) for row, image in wanted)


def test_metadata_is_a_trap(tmp_path: Path) -> None:
    """The other side of the test above: reading everything would have sprung it."""
    write(tmp_path, arrays(20))
    with np.load(tmp_path / NAME, allow_pickle=True) as archive, pytest.raises(BaseException):  # noqa: B017
        archive["metadata"]


def test_sizes_are_known_without_the_file(tmp_path: Path) -> None:
    source = DSprites(tmp_path)
    assert (source.count("train"), source.count("test")) == (663_552, 73_728)
    assert (source.image_shape, source.num_classes) == ((1, 64, 64), 3)
    for use in (source.fingerprint, lambda: source.read("train"), lambda: source.factors("test")):
        with pytest.raises(
            DataError, match=rf"{NAME} is missing.*google-deepmind/dsprites-dataset"
        ):
            use()


def test_through_image_data(tmp_path: Path) -> None:
    write(tmp_path, arrays())
    data = ImageData(DSprites(tmp_path), batch_size=10, val_size=50, cache_dir=tmp_path / "cache")
    data.prepare()
    assert data.counts == {"train": 166, "val": 50, "test": 24}
    for split in ("val", "test"):
        rows = data.factors(split)
        images = np.concatenate(
            [batch.x.numpy() for batch in data.loader(split, value_range=(0, 1), seed=0)]
        )
        assert np.array_equal(images.sum((1, 2, 3)), rows[:, 1] + 1)
        first = images.reshape(len(images), -1).argmax(1)
        assert np.array_equal(np.stack(np.divmod(first, 64), 1) - 16, rows[:, [4, 3]])


def test_another_size_and_another_content(tmp_path: Path) -> None:
    first = write(tmp_path, arrays(40))
    small = DSprites(tmp_path, image_size=32)
    assert small.read("test")[0].shape == (4, 1, 32, 32)
    before = first.fingerprint()
    assert before != small.fingerprint()
    assert before != write(tmp_path, arrays(41)).fingerprint()


def test_number_of_images_is_looked_at(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="737280 images expected, 20 found"):
        write(tmp_path, arrays(20)).read("test")


def changed(**arrays_: Any) -> dict[str, Any]:
    return {**arrays(20), **arrays_}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(imgs=arrays(19)["imgs"]), "imgs are not 20 uint8 images of 64x64"),
        (changed(imgs=arrays(20)["imgs"] * 1.0), "imgs are not 20 uint8"),
        (changed(imgs=np.asfortranarray(arrays(20)["imgs"])), "imgs are not 20 uint8"),
        (changed(imgs=arrays(20)["imgs"] * 255), "imgs must be 0 or 1, got 255"),
        (changed(latents_classes=np.zeros((20, 5), int)), "latents_classes are int64 .20, 5."),
        (changed(latents_classes=np.full((20, 6), 3)), "latents_classes must be below"),
        (changed(latents_classes=np.array([Trap()] * 20)), "not the dSprites file"),
        ({"x": np.zeros(3)}, "not the dSprites file .KeyError"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    source = write(tmp_path, content)
    with pytest.raises(DataError, match=message):
        source.read("train")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, arrays())
    whole = (tmp_path / NAME).read_bytes()
    middle = len(whole) // 2
    for broken in (
        whole[:middle],
        b"",
        b"other",
        whole[:middle] + b"\0" * 64 + whole[middle + 64 :],
    ):
        (tmp_path / NAME).write_bytes(broken)
        with pytest.raises(DataError, match=r"not the dSprites file.*get it again"):
            source.read("train")


def test_an_array_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    content = arrays(20)
    source = write(tmp_path, content)
    stream = io.BytesIO()
    np.save(stream, content["imgs"])
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("imgs.npy", stream.getvalue()[:-5])
        stream = io.BytesIO()
        np.save(stream, content["latents_classes"])
        archive.writestr("latents_classes.npy", stream.getvalue())
        archive.writestr("metadata.npy", pickle.dumps(None))
    with pytest.raises(DataError, match="not the dSprites file"):
        source.read("train")
