"""The features group: shipped, cached or trained weights; training once; no training to restore."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_helpers import TINY

import ganvas
from ganvas.data import ImageData
from ganvas.data.sources import Digits
from ganvas.data.tensor_file import read_tensors
from ganvas.engine import classifier, features
from ganvas.engine.build import _build_group, build_data, build_model
from ganvas.engine.check import check_build, check_overrides
from ganvas.engine.classifier import WEIGHTS_DIR, train_classifier
from ganvas.engine.features import classifier_weights, shipped_file
from ganvas.engine.recipe import Trained
from ganvas.errors import ConfigError, GanvasWarning
from ganvas.nn.classifier import ConvClassifier

NOTES = sorted(WEIGHTS_DIR.glob("*.json"))


def digits(cache: Path, *, size: int = 6, val_size: float = 0) -> ImageData:
    """Digits of 6×6 pixels: no classifier ships for them."""
    source = Digits(image_size=size)
    return ImageData(source, batch_size=10, val_size=val_size, cache_dir=cache, name="digits")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def accuracy(weights: dict[str, torch.Tensor], data: ImageData) -> float:
    """On the test split, by a loop of its own."""
    data.prepare()
    assert data.num_classes is not None
    network = ConvClassifier(image_shape=data.image_shape, num_classes=data.num_classes)
    network.load_state_dict(weights)
    right = 0
    with torch.no_grad():
        for batch in data.loader("test", value_range=(0, 1), seed=0, batch_size=1000):
            assert batch.y is not None
            right += int((network(batch.x).argmax(1) == batch.y).sum())
    return right / data.counts["test"]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few batches."""
    monkeypatch.setattr(classifier, "STEPS", 12)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """No training may happen."""

    def refuse(*_: Any, **__: Any) -> Trained:
        raise AssertionError("a classifier was trained")

    monkeypatch.setattr(features, "train_classifier", refuse)


# What ships


def test_two_classifiers_ship() -> None:
    assert [file.stem for file in NOTES] == ["digits", "mnist"]


@pytest.mark.parametrize("file", NOTES, ids=lambda f: f.stem)
def test_shipped_weights_are_what_their_note_says(file: Path) -> None:
    note = json.loads(file.read_text())
    content = file.with_suffix(".safetensors").read_bytes()
    assert len(content) <= 300_000
    assert hashlib.sha256(content).hexdigest() == note["sha256"]
    weights = read_tensors(file.with_suffix(".safetensors"))
    assert weights is not None
    assert sum(value.numel() for value in weights.values()) == note["parameters"]
    assert note["command"] == f"ganvas classifier dataset={file.stem}"
    assert note["accuracy"] >= {"digits": 0.96, "mnist": 0.985}[file.stem]
    assert note["recipe"] == classifier.RECIPE
    assert "/" not in file.read_text()  # no path of a machine


def test_shipped_digits_are_as_accurate_as_stated(cache: Path, untrained: None) -> None:
    data = digits(cache, size=8)
    found = accuracy(classifier_weights(data, cache_dir=str(cache)), data)
    assert found == json.loads((WEIGHTS_DIR / "digits.json").read_text())["accuracy"]
    assert not (cache / "classifiers").exists()


@pytest.mark.mnist
def test_shipped_mnist_is_as_accurate_as_stated(untrained: None) -> None:
    data = build_data(check_overrides(["dataset=mnist"]))
    weights = classifier_weights(data, cache_dir="unused")
    stated = json.loads((WEIGHTS_DIR / "mnist.json").read_text())["accuracy"]
    assert accuracy(weights, data) == pytest.approx(stated, abs=2e-4)  # two images at a near tie


def test_shipped_weights_are_for_these_images_only(cache: Path) -> None:
    assert shipped_file(digits(cache, size=8).fingerprint) == WEIGHTS_DIR / "digits.safetensors"
    assert shipped_file(digits(cache, size=6).fingerprint) is None


def test_a_newer_recipe_leaves_shipped_weights_behind(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "RECIPE", classifier.RECIPE + 1)
    assert shipped_file(digits(cache, size=8).fingerprint) is None


# Training


def test_training_is_a_function_of_the_images(cache: Path, short: None) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = train_classifier(digits(cache), cache_dir=cache)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    with torch.no_grad():
        second = train_classifier(digits(cache, val_size=0.5), cache_dir=cache)
    assert equal(first.weights, second.weights)
    assert first.tested == second.tested
    found = {"accuracy": accuracy(first.weights, digits(cache)), "test_images": 297}
    assert first.tested.values == found
    other = train_classifier(digits(cache, size=5), cache_dir=cache)
    assert not torch.equal(first.weights["conv1.weight"], other.weights["conv1.weight"])


def test_more_batches_learn_more(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for steps in (1, 100):
        monkeypatch.setattr(classifier, "STEPS", steps)
        found.append(train_classifier(digits(cache), cache_dir=cache).tested.values["accuracy"])
    assert found[0] < 0.4
    assert found[1] > 0.7


def test_unshipped_images_are_trained_on_once(
    cache: Path, short: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = classifier_weights(digits(cache), cache_dir=str(cache))
    said = capsys.readouterr().err
    assert said.startswith("ganvas: features: training a classifier of digits once")
    assert said.count("\n") == 1
    (file,) = (cache / "classifiers").glob("*.safetensors")
    changed = file.stat().st_mtime_ns
    monkeypatch.setattr(features, "train_classifier", None)
    second = classifier_weights(digits(cache, val_size=0.2), cache_dir=str(cache))
    assert equal(first, second)
    assert file.stat().st_mtime_ns == changed
    assert capsys.readouterr().err == ""
    names = {path.suffix for path in (cache / "classifiers").iterdir()}
    assert names == {".safetensors", ".json", ".lock"}


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_damaged_weights_are_made_again(cache: Path, short: None, damage: str) -> None:
    first = classifier_weights(digits(cache), cache_dir=str(cache))
    (file,) = (cache / "classifiers").glob("*.safetensors")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:100] if damage == "truncated" else content[:-1] + b"\1")
    with pytest.warns(UserWarning, match=r"damaged .*; it is made again"):
        second = classifier_weights(digits(cache), cache_dir=str(cache))
    assert equal(first, second)
    assert file.read_bytes() == content


def test_a_record_alone_is_no_classifier_and_weights_alone_neither(
    cache: Path, short: None
) -> None:
    classifier_weights(digits(cache), cache_dir=str(cache))
    (file,) = (cache / "classifiers").glob("*.safetensors")
    file.with_suffix(".json").unlink()
    assert read_tensors(file) is None
    file.with_suffix(".json").write_text("[]")
    with pytest.warns(GanvasWarning, match=r"damaged \(no JSON record\); it is made again"):
        assert read_tensors(file) is None


RACE = """
import sys, time
from pathlib import Path
import torch
from ganvas.data import ImageData
from ganvas.data.sources import Digits
from ganvas.engine import features, recipe

cache = Path(sys.argv[1])
def slow(data, *, cache_dir):
    with open(cache / "trained", "a") as file:
        file.write("once\\n")
    (cache / "begun").touch()
    time.sleep(1.0)
    weights = {"weight": torch.rand(3)}
    return recipe.Trained(weights, recipe.Tested({}, ""), data.fingerprint, 0.0)

features.train_classifier = slow
data = ImageData(Digits(image_size=6), batch_size=10, cache_dir=cache)
(cache / sys.argv[2]).touch()
while len(list(cache.glob("ready-*"))) < 2:
    time.sleep(0.01)
print(features.classifier_weights(data, cache_dir=str(cache))["weight"].tolist())
"""


def test_two_processes_at_once_train_once(cache: Path) -> None:
    cache.mkdir()
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(cache), f"ready-{i}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert (cache / "trained").read_text() == "once\n"
    assert outputs[0][0] == outputs[1][0] != ""


# In a run


def run(place: Path, *overrides: str) -> ganvas.Run:
    return ganvas.train([*TINY, "model=dfc_vae", f"paths.cache_dir={place / 'cache'}", *overrides])


def test_a_run_uses_the_shipped_weights(place: Path, untrained: None) -> None:
    done = run(place)
    state = done.load_model("last").module.features.state_dict()
    shipped = read_tensors(WEIGHTS_DIR / "digits.safetensors")
    assert shipped is not None
    assert {"network.conv1.weight", "network.conv3.bias"} <= state.keys()
    assert all(
        torch.equal(value, shipped[name.removeprefix("network.")]) for name, value in state.items()
    )


def test_features_leave_the_models_own_weights_alone(place: Path, untrained: None) -> None:
    def built(*overrides: str) -> Any:
        checked = check_overrides([*TINY, *overrides])
        torch.manual_seed(0)
        return build_model(checked, build_data(checked))

    plain, measured = built("model=conv_vae"), built("model=dfc_vae")
    for name, network in plain.networks().items():
        assert equal(network.state_dict(), measured.networks()[name].state_dict())


def test_a_restored_model_needs_no_classifier(
    place: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(place, "dataset.image_size=6")
    trained = done.load_model("last").module.features.state_dict()
    shutil.rmtree(place / "cache")
    monkeypatch.setattr(features, "train_classifier", None)
    restored = ganvas.load_run(done.path).model.module
    assert equal(restored.features.state_dict(), trained)
    assert not (place / "cache").exists()


def test_weights_are_taken_over_from_another_run_but_not_its_features(
    place: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = run(place, "dataset.image_size=6")
    shutil.rmtree(place / "cache")
    monkeypatch.setattr(classifier, "STEPS", 5)  # another classifier, as of other images
    child = run(place, "dataset.image_size=6", f"init_from={parent.path}", "checkpoint=last")
    (file,) = (place / "cache" / "classifiers").glob("*.safetensors")
    (theirs, mine), own = (
        (r.load_model("last").module.features.state_dict() for r in (parent, child)),
        read_tensors(file),
    )
    assert own is not None
    assert all(torch.equal(v, own[name.removeprefix("network.")]) for name, v in mine.items())
    assert not equal(mine, theirs)


def test_the_check_reads_and_trains_nothing(place: Path, untrained: None) -> None:
    overrides = [*TINY, "model=dfc_vae", "dataset=cifar10", f"paths.cache_dir={place / 'cache'}"]
    _, model = check_build(check_overrides(overrides))
    assert all(p.is_meta for p in model.parameters())
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("target", ["torch.nn.Flatten", "torch.nn.Identity"])
def test_any_network_may_be_the_features(place: Path, untrained: None, target: str) -> None:
    """The perceptual term of the pixels themselves is half their mean squared error."""
    layer = {"torch.nn.Flatten": "flatten", "torch.nn.Identity": "input"}[target]
    checked = check_overrides(
        [*TINY, "model=dfc_vae", f"features._target_={target}", f"model.layers=[{layer}]"]
    )
    if target == "torch.nn.Identity":  # a network without any layer of its own
        with pytest.raises(ConfigError, match="layers must name layers of Identity, got input"):
            check_build(checked)
        return
    model = build_model(checked, check_build(checked)[0])
    x, image = torch.rand(2, 3, 1, 8, 8)
    expected = 0.5 * (x - image).square().flatten(1).mean(1)
    torch.testing.assert_close(model.perceptual(x, image), expected)


def test_what_is_no_network_is_refused() -> None:
    overrides = [
        *TINY,
        "model=dfc_vae",
        "features._target_=ganvas.losses.reconstruction.SquaredError",
    ]
    with pytest.raises(ConfigError, match="features: must name a network by _target_, got Squared"):
        check_build(check_overrides(overrides))


def test_unlabelled_images_are_refused(place: Path) -> None:
    np.savez(place / "images.npz", images=np.zeros((20, 8, 8), np.uint8))
    overrides = [
        *TINY,
        "model=dfc_vae",
        "dataset=arrays",
        f"dataset.source.path={place / 'images.npz'}",
    ]
    rule = r"features: a classifier needs images with labels of at least 2 classes, got "
    rule += r"num_classes=None; choose a labelled dataset, or another network by features\._target_"
    with pytest.raises(ConfigError, match=rule):
        check_build(check_overrides(overrides))
    assert [path.name for path in place.iterdir()] == ["images.npz"]


@pytest.mark.parametrize(
    ("labelled", "stated", "num_classes"),
    [(True, [], 10), (True, ["+features.num_classes=7"], 7), (False, [], 1000)],
)
def test_what_the_config_states_stands_and_a_default_where_the_data_know_none(
    place: Path, labelled: bool, stated: list[str], num_classes: int
) -> None:
    np.savez(place / "images.npz", images=np.zeros((20, 64, 64), np.uint8))
    unlabelled = ["dataset=arrays", f"dataset.source.path={place / 'images.npz'}"]
    overrides = [*TINY, "model=dfc_vae", "features._target_=torchvision.models.AlexNet", *stated]
    checked = check_overrides(overrides if labelled else [*overrides, *unlabelled])
    with torch.device("meta"):
        network = _build_group(checked, "features", build_data(checked), restoring=True)
    assert network.get_parameter("network.classifier.6.bias").shape == (num_classes,)


def test_a_misspelt_layer_is_refused_before_any_work(place: Path) -> None:
    overrides = [*TINY, "model=dfc_vae", "model.layers=[rleu1]"]
    with pytest.raises(ConfigError, match=r"got rleu1; there are: conv1, relu1, pool1"):
        check_build(check_overrides(overrides))
