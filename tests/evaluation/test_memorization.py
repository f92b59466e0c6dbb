"""Memorisation: copies of training images, fresh images, duplicates, what is kept and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.subjects import InMemory, image_data, random_images, subject
from ganvas.data import ImageData
from ganvas.engine.measures import fault_of
from ganvas.errors import UnfitError
from ganvas.evaluation import memorization as module
from ganvas.evaluation.memorization import MemorizationMeasure
from ganvas.evaluation.priors import OwnPrior
from ganvas.evaluation.subject import Subject
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.types import Batch, Finding
from models.tiny import gan

NAMES = ("memorization_classifier", "memorization_ratio_classifier", "near_copies_classifier")
TRAIN, TEST, FRESH = (random_images(300, seed=seed) for seed in (1, 2, 3))


def large(**options: Any) -> ImageData:
    return image_data(InMemory(train=TRAIN, test=TEST), val_size=100, **options)


def measured(one: Subject, images: Any = None, **options: Any) -> dict[str, Finding]:
    """With these uint8 images in the place of samples."""
    if images is not None:
        one.sample_features = one.features_of([Batch(torch.from_numpy(images))])
    return dict(MemorizationMeasure(**{"num_train": None, **options}).measure(one))


def values(one: Subject, images: Any = None, **options: Any) -> list[float]:
    found = measured(one, images, **options)
    return [found[name].value for name in NAMES]


def test_copies_are_the_extreme() -> None:
    data = large()
    one = subject(gan(), data)
    copies = torch.cat([b.x for b in data.loader("train", value_range=(0, 1), seed=0,
                                                 in_order=True)])  # fmt: skip
    probability, ratio, near = values(one, (copies * 255).round().byte().numpy())
    assert (probability, near) == (1, 1)
    assert ratio < 1e-4  # features of equal images may differ by rounding
    one.sample_features = one.reference("train", num=200).features
    assert values(one) == [1, 0, 1]


@pytest.mark.parametrize("split", ["val", "test"])
def test_fresh_images_are_neutral(split: Any) -> None:
    found = measured(subject(gan(), large(), split=split), FRESH)
    probability, ratio, near = (found[name] for name in NAMES)
    assert probability.uncertainty is not None
    assert abs(probability.value - 0.5) < 3 * (2**0.5) * probability.uncertainty + 0.02
    assert ratio.value == pytest.approx(1, abs=0.1)
    assert near.value < 0.04


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_unseen_images_themselves_are_exactly_neutral(split: Any) -> None:
    one = subject(gan(), large(), split=split)
    one.sample_features = one.reference(split).features
    assert values(one) == [0.5, 1, one.num // 100 / one.num]


def test_half_copies() -> None:
    data = large()
    mixed = torch.cat([torch.from_numpy(FRESH[:100]), torch.from_numpy(TRAIN[:200])]).numpy()
    one = subject(gan(), image_data(InMemory(train=TRAIN, test=TEST), val_size=0))
    assert values(one, mixed)[2] == pytest.approx(2 / 3, abs=0.03)
    assert values(subject(gan(), data), mixed)[0] > 0.6


def test_unseen_duplicates_of_training_images_count_for_samples_too() -> None:
    """A quarter of the test images are training images, and so are a quarter of the samples."""
    test, samples = TEST.copy(), FRESH.copy()
    test[:75], samples[:75] = TRAIN[:75], TRAIN[75:150]
    data = image_data(InMemory(train=TRAIN, test=test), val_size=0)
    one = subject(gan(), data)
    assert values(one, samples)[0] == pytest.approx(0.5, abs=0.07)
    clean = subject(gan(), image_data(InMemory(train=TRAIN, test=TEST), val_size=0))
    assert values(clean, samples)[0] > 0.58


def test_only_so_many_training_images_are_searched() -> None:
    data = image_data(InMemory(train=TRAIN, test=TEST), val_size=0)
    all_of_them = measured(subject(gan(), data), TRAIN)
    some = measured(subject(gan(), data), TRAIN, num_train=100)
    assert all_of_them["near_copies_classifier"].value == 1
    assert some["near_copies_classifier"].value == pytest.approx(1 / 3, abs=0.05)
    protocols = [found["memorization_classifier"].protocol for found in (all_of_them, some)]
    assert [protocol["num_train"] for protocol in protocols] == [300, 100]
    assert protocols[0]["train_images"] != protocols[1]["train_images"]


def test_distances_of_unseen_images_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, searches = large(), []
    search = module.nearest

    def counted(*args: Any, **kwargs: Any) -> Any:
        searches.append(len(args[0]))
        return search(*args, **kwargs)

    monkeypatch.setattr(module, "nearest", counted)
    first = values(subject(gan(), data, cache_dir=tmp_path, num=20))
    assert sorted(searches) == [20, 20]
    assert values(subject(gan(), data, cache_dir=tmp_path, num=20)) == first
    assert len(searches) == 3
    values(subject(gan(), data, cache_dir=tmp_path, num=20), num_train=50)
    assert len(searches) == 5


def test_refusals() -> None:
    with pytest.raises(UnfitError, match=r"split=train: .* choose split=test or split=val"):
        measured(subject(gan(), split="train"))
    with pytest.raises(ValueError, match="num_train must be null or at least 1, got 0"):
        MemorizationMeasure(num_train=0)
    measure = MemorizationMeasure(num_train=None)
    reason = fault_of(measure, Autoencoder, image_data(), prior=OwnPrior())
    assert reason == "draws no samples"
