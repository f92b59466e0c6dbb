"""Sample metrics: their values by hand, on any number of ranks, and no trace of them in the run."""

from __future__ import annotations

import hashlib
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganvas.callbacks import sample_quality
from ganvas.callbacks.sample_quality import SampleQuality, quantized, weights_hash
from ganvas.metrics.classes import class_entropy, classes_hit
from ganvas.metrics.frechet import frechet_distance
from ganvas.models.base import GenerativeModule
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.frozen import Frozen
from ganvas.types import Batch
from models.tiny import SHAPE, Batches, batches, equal, fit, gan, images, vae, weights

CLASSES = 3


def classifier() -> ConvClassifier:
    """The same random weights each time, large enough to tell images apart; no class is a rule."""
    torch.manual_seed(3)
    network = ConvClassifier(image_shape=SHAPE, num_classes=CLASSES)
    for parameter in network.parameters():
        parameter.data *= 3
    network.logits.bias.data -= network(images(64)).mean(0).detach()
    return network


def quality(*, num: int = 12, seed: int = 5) -> SampleQuality:
    state = torch.get_rng_state()
    features = Frozen(classifier())
    torch.set_rng_state(state)
    return SampleQuality(features=features, image_shape=SHAPE, layer="relu4", num=num, seed=seed)


def by_hand(real: Tensor, model: GenerativeModule, *, num: int, seed: int = 5) -> dict[str, float]:
    """From images in [0, 1], all at once and in one go."""
    network = classifier()
    with torch.no_grad():
        drawn: Any = model.sample(num, seed=seed)  # type: ignore[operator]
        low, high = model.value_range
        fake = ((drawn - low) / (high - low) * 255).round().clamp(0, 255) / 255
        real = (real[:num] * 255).round() / 255
        a, b = (network.features(images).double() for images in (real, fake))
        counts = torch.bincount(network(fake).argmax(1), minlength=CLASSES)
    distance = frechet_distance(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    return {
        "fd_classifier": distance.item(),
        "classes_hit": classes_hit(counts),
        "class_entropy": class_entropy(counts),
    }


def unit(model: GenerativeModule, data: Batches) -> Tensor:
    low, high = model.value_range
    return (torch.cat([batch.x for batch in data.batches]) - low) / (high - low)


def logged(trainer: pl.Trainer, split: str = "val") -> dict[str, float]:
    found = {k: float(v) for k, v in trainer.callback_metrics.items()}
    return {k: found[f"{split}/{k}"] for k in SampleQuality.higher_is_better}


@pytest.mark.parametrize("make", [vae, lambda: gan(ema_decay=0.5)], ids=["vae", "gan"])
@pytest.mark.parametrize("num", [12, 7, 100])
def test_values_are_those_by_hand(make: Any, num: int) -> None:
    model, val = make(), batches(num=4, size=5)
    trainer = fit(
        model, batches(num=2, size=4), epochs=2, callbacks=[quality(num=num)], val=val
    )  # the second validation uses the real images of the first
    expected = by_hand(unit(model, val), model.eval(), num=min(num, 20))
    assert expected["fd_classifier"] > 0.01
    assert logged(trainer) == pytest.approx(expected, rel=1e-4)


def test_test_values_are_of_the_test_images() -> None:
    model, val = vae(), batches(num=2, size=5)
    test = Batches([Batch(1 - b.x, start=b.start) for b in batches(num=4, size=3).batches])
    trainer = fit(model, batches(num=1, size=4), callbacks=[quality(num=8)], val=val)
    of_val = logged(trainer)
    trainer.test(model, dataloaders=test, verbose=False)  # type: ignore[arg-type]
    expected = by_hand(unit(model, test), model.eval(), num=8)
    assert logged(trainer, "test") == pytest.approx(expected, rel=1e-4)
    assert logged(trainer, "test") != pytest.approx(of_val, rel=1e-4)


def test_samples_are_those_of_the_averaged_generator() -> None:
    model, val = gan(ema_decay=0.9), batches(num=2, size=5)
    trainer = fit(model, batches(num=4, size=4), epochs=3, callbacks=[quality()], val=val)
    averaged = by_hand(unit(model, val), model.eval(), num=10)
    model.average = None
    raw = by_hand(unit(model, val), model, num=10)
    assert raw["fd_classifier"] != pytest.approx(averaged["fd_classifier"], rel=1e-3)
    assert logged(trainer) == pytest.approx(averaged, rel=1e-4)


def test_training_is_the_same_with_and_without() -> None:
    ends, states = [], []
    for callbacks in ([], [quality()]):
        model = gan(ema_decay=0.5)
        torch.manual_seed(2)
        fit(
            model,
            batches(num=3, size=2),
            epochs=2,
            callbacks=callbacks,
            val=batches(num=1, size=8),
        )
        ends.append({**weights(model), **dict(model.named_buffers())})
        states.append(torch.get_rng_state())
    assert equal(*ends)
    assert torch.equal(*states)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_work(world: int) -> None:
    model, val = vae().eval(), batches(num=3, size=7)

    def sums(rank: int, ranks: int) -> tuple[SampleQuality, dict[str, Tensor]]:
        one, trainer = quality(num=17), SimpleNamespace(global_rank=rank, world_size=ranks)
        size = -(-7 // ranks)
        for batch in val.batches:
            mine = batch.x[rank * size : (rank + 1) * size]
            share = Batch(mine, start=batch.start, offset=rank * size, total=7)
            one.on_validation_batch_end(trainer, model, None, share, 0)  # type: ignore[arg-type]
        distance, drawn = one._distances["val"], one._samples(trainer, model, num=17)  # type: ignore[arg-type]
        for made in drawn:
            distance.update(made, real=False)
            one._classes.update(made)
        found = {**distance.metric_state, **one._classes.metric_state}
        return one, {k: torch.as_tensor(v) for k, v in found.items()}

    whole, expected = sums(0, 1)
    assert whole._found == {"val": 17}
    assert expected["num_real"] == expected["num_fake"] == expected["counts"].sum() == 17
    parts = [sums(rank, world)[1] for rank in range(world)]
    for name, value in expected.items():
        total = torch.stack([part[name] for part in parts]).sum(0)
        torch.testing.assert_close(total, value, rtol=1e-5, atol=1e-5)


def test_each_validation_counts_its_own_samples() -> None:
    """First samples of several classes, then copies of one."""
    varied, model, drawn = images(8), vae(), []
    assert len(classifier()(varied).argmax(1).unique()) > 1

    def sample(self: Any, num: int, *, noise: Tensor, seed: int = 0) -> Tensor:
        drawn.append(num)
        return varied if len(drawn) == 1 else varied[:1].expand(num, *SHAPE)

    model.sample = MethodType(sample, model)  # type: ignore[method-assign]
    val = batches(num=1, size=8)
    trainer = fit(model, batches(num=1, size=4), epochs=2, callbacks=[quality(num=8)], val=val)
    assert drawn == [8, 8]
    assert logged(trainer)["classes_hit"] == 1
    assert logged(trainer)["class_entropy"] == 0


class Labelled(nn.Module):
    """Its images tell the number of their noise and their class: 8 · i + y of 255."""

    value_range, num_classes = (0.0, 1.0), 3

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        return torch.arange(num)[:, None]

    def class_labels(self, num: int) -> Tensor:
        return torch.arange(num) % 3

    def sample(self, num: int, *, noise: Tensor, seed: int = 0, y: Tensor) -> Tensor:
        return ((8 * noise[:, 0] + y) / 255).view(num, 1, 1, 1).expand(num, *SHAPE)


@pytest.mark.parametrize("world", [1, 2])
def test_classes_go_in_turn_whatever_ranks_and_batches(
    world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_quality, "BATCH", 4)
    found: list[int] = []
    for rank in range(world):
        trainer: Any = SimpleNamespace(global_rank=rank, world_size=world)
        for made in quality()._samples(trainer, Labelled(), num=23):  # type: ignore[arg-type]
            assert len(made) <= 4
            found += made[:, 0, 0, 0].tolist()
    assert sorted(found) == [8 * i + i % 3 for i in range(23)]


def test_images_are_rounded_in_any_range() -> None:
    levels = torch.arange(256).view(1, 1, 16, 16).byte()
    assert torch.equal(quantized(levels / 255, (0, 1)), levels)
    assert torch.equal(quantized(levels / 127.5 - 1, (-1, 1)), levels)
    beyond = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert quantized(beyond, (-1, 1)).tolist() == [0, 0, 128, 255, 255]


def test_the_protocol_tells_what_was_measured() -> None:
    one = quality(num=12)
    protocol = one.protocol(gan(ema_decay=0.5), {"train": 100, "val": 10, "test": 0})
    assert protocol["num"] == {"val": 10}
    assert protocol["ema"] is True
    assert (protocol["extractor"], protocol["layer"]) == ("ConvClassifier", "relu4")
    assert one.protocol(vae(), {"train": 1, "val": 50, "test": 9})["num"] == {"val": 12, "test": 9}
    assert one.protocol(vae(), {"train": 1, "val": 50, "test": 9})["ema"] is False


def test_the_hash_is_of_names_and_weights() -> None:
    layer = torch.nn.Linear(1, 1)
    content = b"bias" + layer.bias.detach().numpy().tobytes()
    content += b"weight" + layer.weight.detach().numpy().tobytes()
    assert weights_hash(layer) == hashlib.sha256(content).hexdigest()
    before = weights_hash(layer)
    layer.bias.data.add_(1)
    assert weights_hash(layer) != before


@pytest.mark.parametrize("num", [1, 0])
def test_fewer_than_two_samples_are_refused(num: int) -> None:
    with pytest.raises(ValueError, match=f"num must be at least 2, got {num}"):
        quality(num=num)
