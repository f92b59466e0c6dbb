"""Measures during training: their values by hand, and no trace of them in the run."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from evaluation.subjects import CLASSES, classifier, extractor, image_data, subject
from ganvas.data import ImageData
from ganvas.evaluation.callback import Evaluations, take
from ganvas.evaluation.samples import SampleMeasure
from ganvas.evaluation.subject import Options, Subject
from ganvas.metrics.classes import class_entropy, classes_hit
from ganvas.metrics.frechet import frechet_distance
from ganvas.models.base import GenerativeModule
from ganvas.types import Finding
from models.tiny import Batches, batches, equal, fit, gan, vae, weights

NAMES = ("fd_classifier", "classes_hit", "class_entropy")


def evaluations(data: ImageData, **options: Any) -> Evaluations:
    given = Options(**{"num": 12, "seed": 5, **options})
    return Evaluations({"samples": SampleMeasure()}, data, options=given, extractor=extractor())


def real(data: ImageData, split: Any) -> Tensor:
    """All images of a split, float in [0, 1]."""
    loader = data.loader(split, value_range=(0.0, 1.0), seed=0)
    return torch.cat([batch.x for batch in loader])


def by_hand(
    images: Tensor, model: GenerativeModule, *, num: int, seed: int = 5
) -> dict[str, float]:
    """From images in [0, 1], all at once and in one go."""
    network = classifier()
    with torch.no_grad():
        drawn: Any = model.sample(num, seed=seed)  # type: ignore[operator]
        low, high = model.value_range
        fake = ((drawn - low) / (high - low) * 255).round().clamp(0, 255) / 255
        a, b = (network.features(x).double() for x in (images[:num], fake))
        counts = torch.bincount(network(fake).argmax(1), minlength=CLASSES)
    distance = frechet_distance(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    return {
        "fd_classifier": distance.item(),
        "classes_hit": classes_hit(counts),
        "class_entropy": class_entropy(counts),
    }


def as_batches(data: ImageData, model: GenerativeModule, split: Any) -> Batches:
    return Batches(list(data.loader(split, value_range=model.value_range, seed=0)))


def trained(model: GenerativeModule, data: ImageData, taken: Evaluations | None) -> pl.Trainer:
    """Two epochs; the second validation uses the statistics of the first."""
    val = as_batches(data, model, "val")
    callbacks = [] if taken is None else [taken]
    return fit(model, batches(num=3, size=4), epochs=2, callbacks=callbacks, val=val)


def logged(trainer: pl.Trainer, split: str = "val") -> dict[str, float]:
    found = {k: float(v) for k, v in trainer.callback_metrics.items()}
    return {name: found[f"{split}/{name}"] for name in NAMES}


@pytest.mark.parametrize("make", [vae, lambda: gan(ema_decay=0.5)], ids=["vae", "gan"])
@pytest.mark.parametrize("num", [8, 3, 100, None])
def test_values_are_those_by_hand(make: Any, num: int | None) -> None:
    model, data = make(), image_data()
    trainer = trained(model, data, evaluations(data, num=num))
    expected = by_hand(real(data, "val"), model.eval(), num=min(num or 10, 10))
    assert expected["fd_classifier"] > 0.01
    assert logged(trainer) == pytest.approx(expected, rel=1e-4)


def test_test_values_are_of_the_test_images() -> None:
    model, data = vae(), image_data()
    trainer = trained(model, data, evaluations(data, num=8))
    of_val = logged(trainer)
    test: Any = as_batches(data, model, "test")
    trainer.test(model, dataloaders=test, verbose=False)
    expected = by_hand(real(data, "test"), model.eval(), num=8)
    assert logged(trainer, "test") == pytest.approx(expected, rel=1e-4)
    assert logged(trainer, "test") != pytest.approx(of_val, rel=1e-4)


@pytest.mark.parametrize("reference", ["train", "test"])
def test_another_split_may_be_the_reference(reference: Any) -> None:
    model, data = vae(), image_data()
    trainer = trained(model, data, evaluations(data, num=30, reference=reference))
    stored = data.source.read(reference)[0]
    kept = data._split_members(reference)
    images = torch.from_numpy(stored if kept is None else stored[kept.numpy()]).float() / 255
    expected = by_hand(images, model.eval(), num=30)
    assert logged(trainer) == pytest.approx(expected, rel=1e-4)


def test_averaged_or_raw_weights() -> None:
    """The averaged generator is used unless told otherwise, and is back afterwards."""
    for ema in (True, False):
        model, data = gan(ema_decay=0.9), image_data()
        trainer = trained(model, data, evaluations(data, ema=ema))
        assert model.average is not None
        averaged = by_hand(real(data, "val"), model.eval(), num=10)
        model.average = None
        raw = by_hand(real(data, "val"), model, num=10)
        assert raw["fd_classifier"] != pytest.approx(averaged["fd_classifier"], rel=1e-5)
        assert logged(trainer) == pytest.approx(averaged if ema else raw, rel=1e-4)


def test_training_is_the_same_with_and_without() -> None:
    ends, states, data = [], [], image_data()
    for taken in (None, evaluations(data)):
        model = gan(ema_decay=0.5)
        torch.manual_seed(2)
        trained(model, data, taken)
        ends.append({**weights(model), **dict(model.named_buffers())})
        states.append(torch.get_rng_state())
    assert equal(*ends)
    assert torch.equal(*states)


def test_the_protocol_is_told_once_for_each_split() -> None:
    model, data, told = gan(ema_decay=0.5), image_data(), []
    taken = evaluations(data, num=7)
    taken.on_protocols = lambda found: told.append(dict(found))
    trainer = trained(model, data, taken)
    assert [set(found) for found in told] == [{f"val/{name}" for name in NAMES}]
    test: Any = as_batches(data, model, "test")
    trainer.test(model, dataloaders=test, verbose=False)
    assert set(told[-1]) == {f"{s}/{n}" for s in ("val", "test") for n in NAMES}
    protocol = told[-1]["val/fd_classifier"]
    assert protocol["extractor"] == "ConvClassifier"
    assert {k: protocol[k] for k in ("num", "seed", "ema", "reference", "num_images")} == {
        "num": 7, "seed": 5, "ema": True, "reference": "val", "num_images": 10,
    }  # fmt: skip
    assert protocol["images"] != told[-1]["test/fd_classifier"]["images"]


def test_directions_and_monitor() -> None:
    taken = evaluations(image_data())
    assert taken.directions == {"fd_classifier": False, "classes_hit": True, "class_entropy": True}
    assert taken.monitor == "val/fd_classifier"


def test_noise_is_of_the_evaluations_seed_and_not_of_the_run() -> None:
    class Seeds(SampleMeasure):
        def measure(self, subject: Subject) -> dict[str, Finding]:
            return {"seed": Finding(subject.model.seed)}

    model = vae()
    model.seed = 5
    one = subject(model, seed=3)
    assert take({"seeds": Seeds()}, one)["seed"].value == 3
    assert model.seed == 5
