"""Features of unlabelled images: an autoencoder trained once, and what its distance tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import ganvas, only_run, train
from torch import Tensor

from ganvas.data import ImageData
from ganvas.data.sources import Digits
from ganvas.engine import autoencoder, features
from ganvas.engine.autoencoder import train_autoencoder
from ganvas.engine.features import autoencoder_weights
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.nn.bottleneck import Bottleneck


def digits(cache: Path, *, size: int = 8, val_size: float = 0) -> ImageData:
    source = Digits(image_size=size)
    return ImageData(source, batch_size=10, val_size=val_size, cache_dir=cache, name="digits")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few batches."""
    monkeypatch.setattr(autoencoder, "STEPS", 8)


def test_training_is_a_function_of_the_images(tmp_path: Path, short: None) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = train_autoencoder(digits(tmp_path), cache_dir=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    with torch.no_grad():
        second = train_autoencoder(digits(tmp_path, val_size=0.5), cache_dir=tmp_path)
    assert first.tested == second.tested
    for name, value in first.weights.items():
        assert torch.equal(value, second.weights[name])
    other = train_autoencoder(digits(tmp_path, size=5), cache_dir=tmp_path)
    assert not torch.equal(first.weights["mean"], other.weights["mean"])


def test_it_is_trained_once(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = autoencoder_weights(digits(tmp_path), cache_dir=str(tmp_path))
    said = capsys.readouterr().err
    assert said.startswith("ganvas: features: training an autoencoder of digits once, about a min")
    assert said.count("\n") == 1
    monkeypatch.setattr(features, "train_autoencoder", None)
    second = autoencoder_weights(digits(tmp_path, val_size=0.2), cache_dir=str(tmp_path))
    assert capsys.readouterr().err == ""
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    (note,) = (tmp_path / "autoencoders").glob("*.json")
    record = json.loads(note.read_text())
    assert record["test_images"] == 297
    assert record["mse"] > 0
    monkeypatch.setattr(autoencoder, "RECIPE", autoencoder.RECIPE + 1)
    with pytest.raises(TypeError):  # it would be trained anew
        autoencoder_weights(digits(tmp_path), cache_dir=str(tmp_path))


# What the distance tells


@dataclass(frozen=True)
class Seen:
    """A trained network, and the test images of digits with their labels."""

    network: Bottleneck
    train: Tensor
    test: Tensor
    labels: Tensor

    def distance(self, real: Tensor, fake: Tensor) -> float:
        with torch.no_grad():
            moments = [Moments.of(self.network(x)) for x in (real, fake)]
        return float(moments_distance(*moments))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    cache = tmp_path_factory.mktemp("cache")
    data = digits(cache)
    trained = train_autoencoder(data, cache_dir=cache)
    network = Bottleneck(image_shape=data.image_shape)
    network.load_state_dict(trained.weights)
    assert trained.tested.values["mse"] < 0.012  # the mean image has 0.076
    data.prepare()
    images = {}
    for split in ("train", "test"):
        loader = data.loader(split, value_range=(0, 1), seed=0, batch_size=297)
        images[split] = [(batch.x, batch.y) for batch in loader]
    train = torch.cat([x for x, _ in images["train"]])
    ((test, labels),) = images["test"]
    assert labels is not None
    return Seen(network, train, test, labels)


def test_features_of_the_training_images_are_of_order_one(seen: Seen) -> None:
    with torch.no_grad():
        found = seen.network(seen.train)
    assert found.mean(0).abs().max() < 0.05
    spread = torch.linalg.eigvalsh(found.T.cov())
    assert spread.max() < 1.05
    assert spread.median() > 0.9


def test_real_against_real_is_near_what_the_bias_alone_gives(seen: Seen) -> None:
    """[d + d (d + 1) / 4] (1 / N₁ + 1 / N₂) for equal Gaussians of unit variance."""
    d = seen.network.mean.numel()
    bias = (d + d * (d + 1) / 4) * (1 / len(seen.train) + 1 / len(seen.test))
    floor = seen.distance(seen.train, seen.test)
    assert 0.5 * bias < floor < 1.5 * bias
    assert seen.distance(seen.test, seen.test) == pytest.approx(0, abs=1e-4)
    one = seen.test[:1].expand_as(seen.test)
    assert seen.distance(seen.test, one) > 20 * floor


def test_it_grows_with_noise(seen: Seen) -> None:
    noise = torch.randn(seen.test.shape, generator=torch.Generator().manual_seed(0))
    found = [
        seen.distance(seen.test, (seen.test + level * noise).clamp(0, 1))
        for level in (0, 0.05, 0.1, 0.2, 0.4, 0.8)
    ]
    assert all(2 * low < high for low, high in pairwise(found[1:])), found
    assert found[0] < 1e-4
    assert found[1] > 0.1


def test_it_grows_with_dropped_classes(seen: Seen) -> None:
    found = [seen.distance(seen.test, seen.test[seen.labels < num]) for num in range(10, 1, -2)]
    assert all(1.5 * low < high for low, high in pairwise(found[1:])), found
    assert found[0] < 1e-4
    assert found[1] > 0.3


# In a run


def test_unlabelled_images_get_it_by_default(place: Path, short: None) -> None:
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(place / "images.npz", images=images)
    data = (
        "dataset=arrays",
        "dataset.source.path=images.npz",
        "dataset.val_size=20",
        "dataset.batch_size=20",
    )
    said = train("model=gan", "metrics=samples", *data, f"paths.cache_dir={place / 'cache'}")
    assert said.code == 0, said.err
    assert said.err.count("training an autoencoder of") == 1
    run = only_run(place)
    metrics = json.loads((run / "run.json").read_text())["metrics"]
    assert "val/fd_autoencoder" in metrics
    assert "val/classes_hit" not in metrics
    again = ganvas("evaluate", str(run), "metrics=samples", "split=val", "features=autoencoder")
    assert again.code == 0, again.err
    assert "training" not in again.err
    assert "val/fd_autoencoder" in again.out
