"""The linear probe of a model's codes: what is fitted on what, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import InMemory, image_data, random_images, subject
from ganvas.data import ImageData
from ganvas.errors import UnfitError
from ganvas.evaluation import probe
from ganvas.evaluation.probe import ProbeMeasure
from ganvas.metrics.probe import binomial_error, linear_probe
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.gan.gan import GAN
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.types import Split, ValueRange
from models.tiny import SHAPE

NUM = 300


@dataclass
class Marked(InMemory):
    """The first pixel tells the label of three, the others nothing; half of all are of class 0."""

    def __post_init__(self) -> None:
        self.train, self.test = random_images(NUM, seed=1), random_images(NUM, seed=2)
        for images in (self.train, self.test):
            images[:, 0, 0, 0] = 100 * self.labels(len(images))

    def labels(self, num: int) -> np.ndarray:
        return np.array([0, 1, 0, 2])[np.arange(num) % 4]

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        images = self.test if split == "test" else self.train
        return images, self.labels(len(images)) if self.num_classes else None


class Takes(nn.Module):
    """Its codes are some pixels; it counts the training images that it saw."""

    device, value_range = torch.device("cpu"), (0.0, 1.0)

    def __init__(self, *pixels: int, value_range: ValueRange = (0.0, 1.0)) -> None:
        super().__init__()
        self.pixels, self.value_range, self.image_shape = list(pixels), value_range, SHAPE
        self.seen: list[Tensor] = []

    def encode(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x.flatten(1)[:, self.pixels]


def marked() -> ImageData:
    return image_data(Marked(), val_size=60)


def measured(
    model: Any, data: ImageData | None = None, *, num_train: int = 1000, **options: Any
) -> dict[str, Any]:
    measure = ProbeMeasure(num_train=num_train, inverse_penalties=[1.0], pixels=True)
    return dict(measure.measure(subject(model, data or marked(), **options)))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("split", ["test", "val"])
def test_codes_that_tell_the_label(value_range: ValueRange, split: Split) -> None:
    found = measured(Takes(0, value_range=value_range), split=split)
    assert {name: f.value for name, f in found.items()} == {
        "probe_accuracy": 1,
        "probe_accuracy_pixels": pytest.approx(1, abs=0.02),
        "probe_accuracy_majority": pytest.approx(0.5, abs=0.15 if split == "val" else 1e-9),
    }


def test_codes_that_tell_nothing_are_no_better_than_the_majority() -> None:
    found = measured(Takes(3, 4))
    error = binomial_error(0.5, NUM)
    assert found["probe_accuracy"].value == pytest.approx(0.5, abs=3 * error)
    assert found["probe_accuracy_majority"].uncertainty == pytest.approx(error)
    assert found["probe_accuracy"].uncertainty == pytest.approx(error, rel=0.1)


def test_it_is_fitted_on_training_images_and_tested_on_the_split() -> None:
    model, source = Takes(*range(8)), Marked()
    data = image_data(source, val_size=0)
    found = measured(model, data, num_train=NUM)
    images = [x.reshape(NUM, -1)[:, :8] / np.float32(255) for x in (source.train, source.test)]
    expected = linear_probe(
        images[0],
        source.labels(NUM),
        test_inputs=images[1],
        test_labels=source.labels(NUM),
        inverse_penalties=[1.0],
    )
    assert found["probe_accuracy"].value == expected
    assert found["probe_accuracy"].protocol == {
        "train_images": data.content("train"),
        "num_train": NUM,
        "inverse_penalties": [1.0],
    }


def test_a_part_of_the_training_images_by_the_seed() -> None:
    data = marked()

    def chosen(seed: int, size: int = 7) -> Tensor:
        model = Takes(0)
        measured(model, data, num_train=50, seed=seed, batch_size=size)
        return torch.cat(model.seen)[:50]

    every = torch.cat([batch.x for batch in subject(Takes(0), data).batches("train")])
    places = [(every == image).flatten(1).all(1).nonzero().item() for image in chosen(0)]
    assert sorted(set(places)) == places  # in their order, none twice
    assert places[-1] > 150  # of the whole split, not its beginning
    assert torch.equal(chosen(0), chosen(0, size=40))
    assert not torch.equal(chosen(0), chosen(1))


def test_pixels_are_probed_once_for_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(inputs: np.ndarray, *others: Any, **options: Any) -> float:
        calls.append(inputs.shape[1])
        return linear_probe(inputs, *others, **options)

    monkeypatch.setattr(probe, "linear_probe", counted)
    measure = ProbeMeasure(num_train=100, inverse_penalties=[1.0], pixels=True)
    data, model = marked(), Takes(0, 1)
    found = [measure.measure(subject(model, data)) for _ in range(2)]
    assert calls == [2, 16, 2]
    assert found[0] == found[1]
    measure.measure(subject(model, data, split="val"))
    assert calls[3:] == [2, 16]


def test_without_pixels() -> None:
    measure = ProbeMeasure(num_train=100, inverse_penalties=[1.0], pixels=False)
    found = measure.measure(subject(Takes(0), marked()))
    assert set(found) == {"probe_accuracy", "probe_accuracy_majority"}


def test_what_does_not_fit() -> None:
    measure = ProbeMeasure(num_train=100, inverse_penalties=[1.0], pixels=True)
    unlabelled = image_data(InMemory(num_classes=0))
    assert measure.unfit(Autoencoder, marked()) is None
    assert measure.unfit(GAN, marked()) == "has no encoder"
    assert "read it back" in str(measure.unfit(ConditionalVAE, marked()))
    assert "has no labels" in str(measure.unfit(Autoencoder, unlabelled))
    with pytest.raises(UnfitError, match="has no labels"):
        measured(Takes(0), unlabelled)
    with pytest.raises(UnfitError, match=r"split=train: .*; choose split=test"):
        measured(Takes(0), split="train")


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_train", 0), ("inverse_penalties", []), ("inverse_penalties", [1.0, 0.0])],
)
def test_refused_values(name: str, value: Any) -> None:
    given: Any = {"num_train": 10, "inverse_penalties": [1.0], "pixels": True, name: value}
    with pytest.raises(ValueError, match=f"{name} must be .*, got {re.escape(str(value))}"):
        ProbeMeasure(**given)
