"""`ganvas classifier`: what it writes, where, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from engine_helpers import ganvas

from ganvas.engine import classifier, features


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 5)


def test_it_writes_weights_and_their_record(place: Path) -> None:
    said = ganvas("classifier", "dataset=digits", "dataset.root=/data", "out=new/own.safetensors")
    assert (said.code, said.err) == (0, "")
    line, file = said.out.splitlines()
    assert file == "new/own.safetensors"
    note = json.loads((place / "new" / "own.json").read_text())
    assert line.startswith(f"digits: {note['accuracy']:.2%} of 297 test images right; ")
    content = (place / file).read_bytes()
    assert note["sha256"] == hashlib.sha256(content).hexdigest()
    assert note["command"] == "ganvas classifier dataset=digits"  # what, not where
    assert note["parameters"] == 22_458
    assert {p.name for p in (place / "new").iterdir()} == {"own.safetensors", "own.json"}


def test_without_out_it_lies_where_features_look(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ganvas("classifier", "dataset.image_size=7", f"paths.cache_dir={place / 'cache'}")
    assert said.code == 0, said.err
    monkeypatch.setattr(features, "train_classifier", None)
    from ganvas.data import ImageData
    from ganvas.data.sources import Digits

    data = ImageData(Digits(image_size=7), batch_size=1)
    found = features.classifier_weights(data, cache_dir=str(place / "cache"))
    assert found["logits.weight"].shape == (10, 64)


def test_it_refuses_images_without_labels(place: Path) -> None:
    np.savez(place / "images.npz", images=np.zeros((20, 8, 8), np.uint8))
    said = ganvas("classifier", "dataset=arrays", "dataset.source.path=images.npz")
    assert said.code == 2
    assert said.message.startswith("dataset=arrays: a classifier needs images with labels")
    assert [path.name for path in place.iterdir()] == ["images.npz"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dataset=mnits", "dataset=mnits: no such dataset; did you mean `mnist`?"),
        ("model=vae", "`model`: no such key; there are: "),
        ("out=3", "out: should be a valid string, got 3"),
        ("dataset.source._target_=os.system", "dataset.source._target_: `os.system` may not be"),
    ],
)
def test_it_refuses_what_it_can_not_use(place: Path, argument: str, message: str) -> None:
    said = ganvas("classifier", argument)
    assert said.code == 2
    assert said.message.startswith(message)
    assert list(place.iterdir()) == []


def test_a_place_that_can_not_be_written_is_said(place: Path) -> None:
    (place / "file").touch()
    said = ganvas("classifier", "out=file/a.safetensors")
    assert said.code == 2
    assert said.message.startswith("file/a.safetensors: can't be written (File exists); choose")
