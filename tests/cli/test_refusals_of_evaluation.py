"""Evaluations that can't be made: one clear line, exit code 2, nothing recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from engine_helpers import ganvas, only_run, train

import ganvas as library
from ganvas.engine.api import evaluate
from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.errors import GanvasWarning

OWN = """
from ganvas.evaluation.measure import Measure
from ganvas.types import Finding


class MeanPixel(Measure):
    def unfit(self, model, data):
        return None

    def measure(self, subject):
        image = next(iter(subject.samples(4))).x
        return {"mean_pixel": Finding(float(image.float().mean()))}


class Undefined(MeanPixel):
    def measure(self, subject):
        return {"ratio": Finding(float("nan"))}


class Wordy(MeanPixel):
    def measure(self, subject):
        raise ValueError("first line\\n  second line")


class Silent(MeanPixel):
    def measure(self, subject):
        return {}
"""


@pytest.fixture
def own(place: Path, fresh_modules: None) -> Path:
    """A user's module of measures, and the folder of groups that names them."""
    (place / "users_measures.py").write_text(OWN)
    folder = place / "own" / "metrics"
    folder.mkdir(parents=True)
    for name in ("MeanPixel", "Undefined", "Wordy", "Silent"):
        node = {name.lower(): {"_target_": f"users_measures.{name}"}}
        (folder / f"{name.lower()}.yaml").write_text(yaml.safe_dump(node))
    return folder.parent


def poisoned(run: Path, value: float) -> None:
    """Give every weight of the best checkpoint one such value."""
    file = run / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    for tensor in content["state_dict"].values():
        if tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[0] = value
    AtomicCheckpointIO().save_checkpoint(content, file)


def change(run: Path, name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a run's `run.json` or `config.yaml`; JSON is YAML, too."""
    file = run / name
    content = yaml.safe_load(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["metrics=[]"], "metrics: nothing to measure; name at least one measure"),
        (["metrics.samples=3"], "metrics.samples: must name a measure by _target_, got int"),
        (["seed=4294967296"], "seed: should be less than 4294967296, got 4294967296"),
        (
            ["metrics=probe", "metrics.probe.num_train=3"],
            "metrics=probe: a probe is fitted to at least 10 images of two classes, got 3 of ",
        ),
        (
            ["metrics.samples._target_=ganvas.evaluation.measure.Measure"],
            "metrics.samples: Can't instantiate abstract class Measure",
        ),
        (
            ["metrics.samples._target_=ganvas.callbacks.sample_quality.SampleQuality"],
            "metrics.samples._target_: `ganvas.callbacks.sample_quality.SampleQuality` is of an "
            "earlier version: measures have names now",
        ),
        (["--config-dir", "nowhere"], "--config-dir: no such folder, got 'nowhere'"),
        (["--config-dir"], "--config-dir: no such folder, got ''"),
        (
            ["metrics=[precision_recall]", "num=3"],
            "metrics=precision_recall: 5 nearest neighbours need k of at least 1",
        ),
    ],
)
def test_refused(vae_run: Path, place: Path, overrides: list[str], message: str) -> None:
    before = (vae_run / "run.json").read_bytes()
    said = ganvas("evaluate", str(vae_run), *overrides)
    assert said.code == 2
    assert said.message.startswith(message)
    assert "\n" not in said.message
    assert (vae_run / "run.json").read_bytes() == before


@pytest.mark.parametrize("metrics", ["losses", "information", "likelihood", "samples", "probe"])
def test_diverged_weights_give_no_values(vae_copy: Path, metrics: str) -> None:
    poisoned(vae_copy, float("nan"))
    before = (vae_copy / "run.json").read_bytes()
    said = ganvas("evaluate", str(vae_copy), f"metrics=[{metrics}]")
    assert said.code == 2
    assert "NaN" in said.message
    assert "\n" not in said.message
    assert (vae_copy / "run.json").read_bytes() == before


def test_diverged_weights_give_no_pictures(vae_copy: Path) -> None:
    poisoned(vae_copy, float("nan"))
    said = ganvas("sample", str(vae_copy), "n=2")
    assert said.code == 2
    assert said.message.startswith("the model makes NaN or infinite images; its weights have")
    assert not list(vae_copy.glob("samples/drawn*"))


class TestMeasuresOfOnesOwn:
    """As docs/evaluation.md describes them: one class and one YAML outside the package."""

    def test_on_the_command_line_and_in_python(self, vae_copy: Path, own: Path) -> None:
        typed = ["metrics=[meanpixel]", "trust=[users_measures]"]
        for flag in (["--config-dir", str(own)], [f"--config-dir={own}"]):
            said = ganvas("evaluate", str(vae_copy), *flag, *typed)
            assert said.code == 0, said.err
            assert said.out.startswith("test/mean_pixel  ")
        (result,) = evaluate(vae_copy, typed, config_dir=own)
        assert result.name == "mean_pixel"
        assert len(library.load_run(vae_copy).evaluations()) == 3

    def test_without_trust(self, vae_run: Path, own: Path) -> None:
        said = ganvas("evaluate", str(vae_run), f"--config-dir={own}", "metrics=[meanpixel]")
        assert said.code == 2
        assert "add trust=[users_measures]" in said.message

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("undefined", "metrics=undefined: ratio is NaN, so nothing is recorded"),
            ("wordy", "metrics=wordy: first line second line"),
        ],
    )
    def test_faults(self, vae_copy: Path, own: Path, name: str, message: str) -> None:
        typed = [f"--config-dir={own}", f"metrics=[losses,{name}]", "trust=[users_measures]"]
        said = ganvas("evaluate", str(vae_copy), *typed)
        assert said.code == 2
        assert said.message.startswith(message)
        assert library.load_run(vae_copy).evaluations() == []

    def test_that_finds_nothing(self, vae_copy: Path, own: Path) -> None:
        typed = [f"--config-dir={own}", "metrics=[silent]", "trust=[users_measures]"]
        said = ganvas("evaluate", str(vae_copy), *typed)
        assert (said.code, said.out) == (0, "")


class TestRunsOfEarlierVersions:
    """Without a section `evaluation`, and with the one measure that there was."""

    @pytest.fixture
    def old(self, vae_copy: Path) -> Path:
        former = {
            "_target_": "ganvas.callbacks.sample_quality.SampleQuality",
            "features": {"_target_": "ganvas.nn.classifier.ConvClassifier", "_partial_": True},
            "layer": "relu4",
            "num": 2000,
        }

        def edit(config: dict[str, Any]) -> None:
            config["metrics"] = former
            del config["evaluation"]

        change(vae_copy, "config.yaml", edit)
        return vae_copy

    def test_are_sampled_and_measured(self, old: Path) -> None:
        assert ganvas("sample", str(old), "n=2").code == 0
        said = ganvas("evaluate", str(old), "metrics=[losses]")
        assert (said.code, said.err) == (0, "")

    def test_are_not_resumed(self, old: Path) -> None:
        said = ganvas("train", f"resume={old}", "trainer.max_steps=3")
        assert said.code == 2
        assert "is of an earlier version: measures have names now" in said.message


def test_other_images_than_in_training(vae_copy: Path) -> None:
    change(vae_copy, "run.json", lambda record: record.update(dataset_fingerprint="0" * 64))
    with pytest.warns(GanvasWarning, match="digits: its images have changed since this run was"):
        assert ganvas("evaluate", str(vae_copy), "metrics=[losses]").code == 0


def test_features_have_a_place_in_training(place: Path) -> None:
    said = train("metrics=samples", "features=pixels")
    assert said.code == 2
    expected = "`features`: no such key; did you mean `features@evaluation.features`?"
    assert said.message == expected
    assert not list(place.iterdir())


def test_the_closing_table_leaves_out_single_dimensions(place: Path) -> None:
    said = train("model=vae", "metrics=[information]", "test=true")
    assert said.code == 0
    assert "test/active_units" in said.out
    assert "kl_00" not in said.out
    assert "40 values of single dimensions are in metrics.csv" in said.out
    assert "test/kl_00" in json.loads((only_run(place) / "run.json").read_text())["metrics"]
