"""Kernel distance and floor as measures: their names, values, protocols and cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation.subjects import InMemory, image_data, random_images, subject
from ganvas.evaluation.floor import FloorMeasure
from ganvas.evaluation.kernel import KernelMeasure
from ganvas.evaluation.subject import Subject
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.metrics.kernel import kernel_distance, subset_distance
from models.tiny import vae


def real(one: Subject, split: str, num: int) -> torch.Tensor:
    return one.reference(split, num=num).features.vectors  # type: ignore[arg-type]


def test_kernel_distance_of_samples() -> None:
    one = subject(vae(), num=30, seed=2)
    pair = real(one, "test", 30), one.sample_features.vectors
    found = KernelMeasure().measure(one)["kd_classifier"]
    expected = kernel_distance(*pair)
    assert (found.value, found.uncertainty) == (expected.value.item(), expected.error.item())
    assert found.protocol["pairs"] == "all"
    found = KernelMeasure(num_subsets=3, subset_size=9).measure(one)["kd_classifier"]
    expected = subset_distance(*pair, num=3, size=9, seed=2)
    assert (found.value, found.uncertainty) == (expected.value.item(), expected.error.item())
    few = KernelMeasure().measure(subject(vae(), num=3))["kd_classifier"]
    assert few.uncertainty is None
    told = {"pairs": "subsets", "num_subsets": 3, "subset_size": 9, "num": 30}
    assert told.items() <= found.protocol.items()


@pytest.mark.parametrize(
    ("split", "reference", "other", "nums"),
    [("test", None, "train", (30, 30)), ("val", None, "train", (10, 10)),
     ("test", "train", "test", (45, 40))],
)  # fmt: skip
def test_the_floor_is_of_other_real_images(
    split: str, reference: str | None, other: str, nums: tuple[int, int], tmp_path: Path
) -> None:
    num, num_other = nums
    one = subject(vae(), split=split, reference=reference, num=num, cache_dir=tmp_path)  # type: ignore[arg-type]
    pair = real(one, reference or split, num), real(one, other, num_other)
    for _ in range(2):  # computed, and from disk
        found = FloorMeasure().measure(one)
        distance, kernel = moments_distance(*map(Moments.of, pair)), kernel_distance(*pair)
        assert found["floor_fd_classifier"].value == pytest.approx(distance.item(), rel=1e-9)
        assert found["floor_kd_classifier"].value == kernel.value.item()
        assert found["floor_kd_classifier"].uncertainty == kernel.error.item()
        told = {"others": other, "num_others": num_other, "num": num}
        assert told.items() <= found["floor_fd_classifier"].protocol.items()


def test_the_floor_of_the_same_images_is_zero() -> None:
    images = random_images(40)
    one = subject(vae(), image_data(InMemory(train=images, test=images), val_size=0))
    found = FloorMeasure().measure(one)
    assert found["floor_fd_classifier"].value == pytest.approx(0, abs=1e-6)


def test_another_reference_has_another_floor(tmp_path: Path) -> None:
    """Of the same other images: what is on disk is of one pair of sets."""
    data = image_data()
    for split in ("test", "val"):
        one = subject(vae(), data, split=split, num=10, cache_dir=tmp_path)  # type: ignore[arg-type]
        expected = kernel_distance(real(one, split, 10), real(one, "train", 10))
        found = FloorMeasure().measure(one)["floor_kd_classifier"]
        assert found.value == expected.value.item()
        assert found.protocol["other_images"] == data.content("train", num=10)
