"""What a user may name as images, and what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.data import ImageData
from ganvas.data.given import given_images, split_images
from ganvas.errors import DataError, RunError
from ganvas.latent.inputs import Inputs, Request, chosen_images, expanded, records
from latent.scenes import ConditionalVAE, LinearVAE, class_data

SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return class_data()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three pictures in a folder, of other sizes than the data's, and something else."""
    random = np.random.default_rng(0)
    names = ["b.png", "a [x] ü.jpg", "c.PNG"]
    for name, side in zip(names, (4, 9, 30), strict=True):
        Image.fromarray(random.integers(0, 255, (side, side, 3), "uint8")).save(
            tmp_path / name, format="png"
        )
    (tmp_path / "notes.txt").write_text("no image")
    return [tmp_path / name for name in names]


def chosen(data: ImageData, images: Any = None, *, num: int | None = 3, **given: Any) -> Inputs:
    return chosen_images(data, Request(images=images, **given), num=num)


def test_first_images_of_the_split_where_none_are_named(data: ImageData) -> None:
    found = chosen(data, num=3)
    x, y = split_images(data, "test", [0, 1, 2])
    torch.testing.assert_close(found.x, x)
    torch.testing.assert_close(found.y, y)
    assert list(found.names) == ["test 0", "test 1", "test 2"]
    assert found.caption(1) == "test 1 (class 1)"
    assert len(chosen(data, num=None, split="val")) == data.counts["val"]
    assert len(chosen(data, num=10**6)) == data.counts["test"]


def test_positions_in_the_order_given_and_twice(data: ImageData) -> None:
    found = chosen(data, [7, 0, 7], split="train")
    assert list(found.names) == ["train 7", "train 0", "train 7"]
    assert list(found.positions) == [7, 0, 7]
    torch.testing.assert_close(found.x[0], found.x[2])
    torch.testing.assert_close(found.x[1], chosen(data, [0], split="train").x[0])


def test_files_folders_and_pillow_images(data: ImageData, files: list[Path]) -> None:
    by_name = sorted(files)
    x = given_images(by_name, data=data)
    for given in (by_name, [str(f) for f in by_name], [files[0].parent]):
        found = chosen(data, given)
        torch.testing.assert_close(found.x, x)
        assert list(found.names) == [f.name for f in by_name]
        assert found.y is None
        assert found.caption(0) == by_name[0].name
        assert len(found.notes) == 1
        assert "resized to 4×4" in found.notes[0]
    opened = [Image.open(f) for f in by_name]
    torch.testing.assert_close(chosen(data, opened).x, x)
    torch.testing.assert_close(chosen(data, opened, invert=True).x, 1 - x)


@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray])
def test_tensors_and_arrays_are_taken_as_they_are(data: ImageData, kind: Any) -> None:
    values = np.random.default_rng(0).random((3, *SHAPE))
    for given in ([kind(values)], [kind(value) for value in values]):
        found = chosen(data, given)
        torch.testing.assert_close(found.x, torch.from_numpy(values).float())
        assert list(found.names) == ["image 0", "image 1", "image 2"]
        assert list(found.notes) == []
    traced = torch.rand(SHAPE, requires_grad=True)
    assert not chosen(data, [traced]).x.requires_grad


def test_a_pipe_is_no_file(data: ImageData, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    with pytest.raises(RunError, match=r"no such file or folder, got '.*pipe\.png'"):
        chosen(data, [tmp_path / "pipe.png"])


def test_all_kinds_together(data: ImageData, files: list[Path]) -> None:
    pixels = torch.rand(SHAPE)
    found = chosen(data, [4, files[0], pixels])
    assert list(found.names) == ["test 4", "b.png", "image 2"]
    assert found.y is not None
    assert found.y.tolist() == [1, -1, -1]
    assert list(found.positions) == [4, None, None]
    torch.testing.assert_close(found.x[2], pixels)
    torch.testing.assert_close(found.x[0], chosen(data, [4]).x[0])
    assert [found.caption(i) for i in range(2)] == ["test 4 (class 1)", "b.png"]


def test_labels_for_a_conditional_model_alone(data: ImageData, files: list[Path]) -> None:
    known = chosen(data, [0, 1])
    assert known.given(LinearVAE()) is None
    assert known.given(ConditionalVAE()) is known.y
    for images in ([0, files[0]], [files[0]]):
        with pytest.raises(RunError, match=r"y: ConditionalVAE is conditional.*e\.g\. y=3"):
            chosen(data, images).given(ConditionalVAE())


def test_unlabelled_data() -> None:
    found = chosen(image_data(InMemory(num_classes=0)))
    assert found.y is None
    assert found.caption(0) == "test 0"


NO_IMAGES: dict[str, tuple[Any, str]] = {
    "negative": ([-1], r"positions in split=test go from 0 to 39, got -1"),
    "too far": ([0, 40], r"positions in split=test go from 0 to 39, got 40"),
    "none": ([], r"at least one image, got \[\]"),
    "no file": (["nowhere.png"], r"no such file or folder, got 'nowhere.png'; name files"),
    "empty name": ([""], r"images: must be positions .*, got ''"),
    "a bool": ([True], r"images: must be positions .*, got True"),
    "a float": ([1.5], r"images: must be positions .*, got 1.5"),
    "nested": ([[0, 1]], r"images: must be positions .*, got \[0, 1\]"),
    "nothing": ([None], r"images: must be positions .*, got None"),
    "shape": ([torch.rand(3, 4, 4)], r"must be an image \(1, 4, 4\).* got \(3, 4, 4\)"),
    "flat": ([torch.rand(4, 4)], r"must be an image .* got \(4, 4\)"),
    "bytes": ([torch.ones(SHAPE).byte()], r"must hold floats .* got torch.uint8; divide by 255"),
    "range": ([torch.full(SHAPE, 2.0)], r"values in \[0, 1\], got \[2, 2\]"),
    "nan": ([torch.full(SHAPE, torch.nan)], r"values in \[0, 1\], got \[nan, nan\]"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_refusals(case: str, data: ImageData) -> None:
    images, message = NO_IMAGES[case]
    with pytest.raises(RunError, match=message):
        chosen(data, images)


def test_refusals_of_files(data: ImageData, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no image \(\.png"):
        chosen(data, [tmp_path])
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(DataError, match=r"bad\.png: not a readable image"):
        chosen(data, [0, tmp_path])


@pytest.mark.parametrize("images", [None, [0]])
def test_a_split_without_images(images: Any) -> None:
    with pytest.raises(RunError, match="split=val: dataset has no such images; choose another"):
        chosen(class_data(val_size=0), images, split="val")


def test_records_name_files_and_hash_content(data: ImageData, files: list[Path]) -> None:
    assert records(None) is None
    assert records("random") == "random"
    assert records([3, 0]) == [3, 0]
    (first, *_, last) = records([files[0].parent])
    assert first["file"] == str(min(files))
    assert len(first["sha256"]) == 64
    assert first["sha256"] != last["sha256"]
    (again,) = records([min(files)])
    assert again == first

    def hashes(*images: Tensor) -> list[str]:
        return [found["sha256"] for found in records(list(images))]

    pixels = torch.rand(2, *SHAPE)
    assert hashes(pixels) == hashes(*pixels) == hashes(pixels.numpy())  # type: ignore[arg-type]
    assert hashes(pixels[0]) != hashes(pixels[1])
    assert hashes(pixels[0]) != hashes(pixels[0].double())
    opened = [Image.open(files[0]), Image.open(files[1])]
    assert len({found["sha256"] for found in records(opened)}) == 2


def test_expanded_leaves_single_images(files: list[Path]) -> None:
    assert expanded([3, str(files[0])]) == [3, files[0]]
    assert expanded([files[0].parent]) == sorted(files)
