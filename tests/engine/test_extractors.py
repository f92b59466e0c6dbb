"""Features of every kind through the command: what they give, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_helpers import Said, ganvas, only_run, train

from ganvas.engine import features
from ganvas.nn.inception import Inception

NETS = """
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, image_shape, num_classes, scale: float = 1.0):
        super().__init__()
        self.linear = nn.Linear(image_shape[1] * image_shape[2], num_classes)  # never seeded
        self.scale = scale

    def forward(self, x):
        return self.linear(x.flatten(1)) * self.scale


class Bad(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.colour = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        v = x.flatten(1)
        return {
            "pair": (v, v),
            "flat": x.flatten(),
            "empty": v[:, :0],
            "integer": v.long(),
            "undefined": v / 0 - v / 0,
            "ragged": v[:, : 3 + len(x)],
            "host": torch.from_numpy(v.numpy() * 2),
        }.get(self.kind) if self.kind != "colour" else self.colour(x)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x
"""

BAD = ("features@evaluation.features=module", "evaluation.features._target_=users_nets.Bad")


def measure(run: Path, *arguments: str) -> Said:
    return ganvas("evaluate", str(run), "metrics=samples", "num=12", "accelerator=cpu", *arguments)


def result(run: Path) -> dict[str, Any]:
    """The last one recorded."""
    return json.loads((run / "run.json").read_text())["evaluations"][-1]


@pytest.fixture
def nets(place: Path, fresh_modules: None) -> str:
    """A trusted module of the user's, and the arguments that name it."""
    (place / "users_nets.py").write_text(NETS)
    return "trust=[users_nets]"


# A network of the user's


def test_it_gets_the_facts_of_the_data_and_is_the_same_each_time(vae_copy: Path, nets: str) -> None:
    target = "features._target_=users_nets.Scaled"
    values = []
    for more in ([], ["batch_size=5"], ["+features.scale=3"]):
        torch.rand(3)  # other processes have drawn other numbers before
        said = measure(vae_copy, "features=module", target, nets, *more)
        assert said.code == 0, said.err
        values.append(result(vae_copy))
    first, again, scaled = values
    assert first["name"] == "fd_scaled"
    assert first["value"] == pytest.approx(again["value"], rel=1e-12)
    assert first["protocol"] == again["protocol"]
    assert scaled["value"] == pytest.approx(9 * first["value"], rel=1e-5)
    assert scaled["protocol"]["weights"] == first["protocol"]["weights"]
    assert scaled["protocol"]["arguments"] == {"scale": 3}


def test_its_code_is_part_of_its_identity(vae_copy: Path, nets: str, place: Path) -> None:
    options = ("features=module", "features._target_=users_nets.Scaled", nets)
    codes = []
    for comment in ("", "# another"):
        (place / "users_nets.py").write_text(NETS + comment)
        assert measure(vae_copy, *options).code == 0
        codes.append(result(vae_copy)["protocol"]["code"])
    assert codes[0] != codes[1]


def test_a_published_network_and_its_layer(vae_copy: Path) -> None:
    options = ("features=module", "features._target_=torch.nn.Flatten")
    assert measure(vae_copy, *options).code == 0
    pixels = result(vae_copy)
    assert "code" not in pixels["protocol"]
    assert measure(vae_copy, *options, "layer=flatten").code == 0
    assert result(vae_copy)["value"] == pytest.approx(pixels["value"], rel=1e-12)
    assert measure(vae_copy, "features=pixels").code == 0
    assert result(vae_copy)["value"] == pytest.approx(pixels["value"], rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pair", "features: Bad must give floats (B, D, …) for B images, got tuple for 2; choose"),
        ("flat", "features: Bad must give floats (B, D, …) for B images, got float32 (128,) for 2"),
        ("empty", "got float32 (2, 0) for 2; choose another layer or network"),
        ("integer", "got int64 (2, 64) for 2; choose another layer or network"),
        ("undefined", "bad gave NaN or infinite features; choose another network of features"),
        ("ragged", "bad must give as many features for all images, got 5 for some and 15 for othe"),
        ("colour", "features: bad can't take images of 1×8×8 (Given groups=1, weight of size [4,"),
    ],
)
def test_an_output_that_is_no_features_is_refused(
    vae_run: Path, nets: str, kind: str, message: str
) -> None:
    target = "features._target_=users_nets.Bad"
    said = measure(vae_run, "features=module", target, f"+features.kind={kind}", nets)
    assert said.code == 2
    assert message in said.message
    assert "\n" not in said.message


def test_a_bad_network_is_refused_before_training(nets: str, place: Path) -> None:
    said = train("model=gan", "metrics=samples", *BAD, "+evaluation.features.kind=pair", nets)
    assert (said.code, said.message[:36]) == (2, "features: Bad must give floats (B, D")
    assert not (place / "runs").exists()


def test_code_that_needs_numbers_passes_the_check(nets: str) -> None:
    said = train("model=gan", "metrics=samples", *BAD, "+evaluation.features.kind=host", nets)
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("users_nets.Scaled", "features._target_: `users_nets.Scaled` is of no trusted module; wh"),
        ("torch.nn.Flaten", "features._target_: `torch.nn.Flaten` does not exist; did you mean `F"),
        ("torch.optim.Adam", "features.params"),
        (
            "torchvision.models.AlexNet",
            "features: alex_net can't take images of 1×8×8 (Given",
        ),
    ],
)
def test_targets_are_checked(vae_run: Path, target: str, message: str) -> None:
    said = measure(vae_run, "features=module", f"features._target_={target}")
    assert said.code == 2
    assert message in said.message


@pytest.mark.parametrize("stated", ["image_shape=[3,8,8]", "num_classes=7"])
def test_weights_of_another_shape_are_refused(vae_run: Path, stated: str) -> None:
    said = measure(vae_run, "features=classifier", f"+features.{stated}")
    assert said.code == 2
    assert said.message == (
        "features: the weights for digits don't fit a network of other shapes; leave image_shape "
        "and num_classes to the data"
    )


def test_layers_that_cannot_be_told(vae_run: Path, nets: str) -> None:
    target = "features._target_=users_nets.Branching"
    said = measure(vae_run, "features=module", target, nets, "layer=conv1")
    assert said.code == 2
    assert said.message.startswith(
        "evaluation.layer=conv1: the layers of Branching can't be told, since torch.fx can't trace"
    )


# Inception


def test_without_its_weights_nothing_begins(vae_run: Path, place: Path) -> None:
    name = "weights-inception-2015-12-05-6726825d.pth"
    for said in (
        measure(vae_run, "features=inception", "paths.weights_dir=here"),
        train("model=gan", "metrics=samples", "features@evaluation.features=inception"),
    ):
        assert said.code == 2
        assert f"{name} isn't under" in said.message
        assert "its SHA-256 begins with 6726825d" in said.message
        assert "set paths.weights_dir to the folder that has it" in said.message
    assert not (place / "here").exists()
    assert not (place / "runs").exists()


def test_other_weights_are_refused_with_both_hashes(vae_run: Path, place: Path) -> None:
    torch.save({}, place / "weights-inception-2015-12-05-6726825d.pth")
    said = measure(vae_run, "features=inception", f"paths.weights_dir={place}")
    assert said.code == 2
    assert "its SHA-256 must begin with 6726825d, got " in said.message


def test_points_are_not_for_inception_nor_for_an_autoencoder(place: Path) -> None:
    for network in ("inception", "autoencoder"):
        options = ("metrics=samples", f"features@evaluation.features={network}")
        said = train("experiment=mixture2d", *options)
        assert said.code == 2
        assert said.message.endswith("features=pixels"), said.message
    assert not (place / "runs").exists()


@pytest.mark.slow
def test_with_its_weights_the_distance_is_called_fid(
    vae_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    torch.save(Inception(image_shape=(1, 8, 8)).state_dict(), tmp_path / "random.pth")
    monkeypatch.setattr(features, "weights_file", lambda *_, **__: tmp_path / "random.pth")
    said = measure(vae_copy, "features=inception", "num=4")
    assert said.code == 0, said.err
    found = result(vae_copy)
    assert found["name"] == "fid"
    assert found["protocol"]["transform"].startswith("bilinear to 299×299")


# Pixels and points


def test_points_of_the_plane_are_their_own_features(place: Path) -> None:
    said = train("experiment=mixture2d", "metrics=samples", "evaluation.num=50", "test=true")
    assert said.code == 0, said.err
    run = only_run(place)
    record = json.loads((run / "run.json").read_text())
    assert record["protocol"]["test/fd_pixels"]["quantizer"] == "none"
    assert measure(run).code == 0
    found = result(run)
    assert (found["name"], found["protocol"]["quantizer"]) == ("fd_pixels", "none")
    assert np.isfinite(found["value"])
