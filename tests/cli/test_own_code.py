"""A user's own network, loss and data set: trusted by name, and their faults told in one line."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
import yaml
from engine_helpers import Said, ganvas, only_run, train

import ganvas as library
from ganvas.errors import ConfigError

pytestmark = pytest.mark.usefixtures("fresh_modules")

PARTS = """
import hashlib

import numpy as np
import torch
from torch import nn

from ganvas.losses.elbo import VAELoss
from ganvas.types import LossTerms


class Encoder(nn.Module):
    def __init__(self, *, image_shape, num_outputs: int, fail_at: int | None = None,
                 fail_on_meta: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(int(np.prod(image_shape)), num_outputs)
        self.fail_at, self.fail_on_meta, self.calls = fail_at, fail_on_meta, 0

    def forward(self, x):
        if x.is_meta:
            if self.fail_on_meta:
                raise KeyError("no such feature")
        elif self.training:
            self.calls += 1
            if self.calls == self.fail_at:
                raise KeyError("no such feature")
        return self.layer(x.flatten(1))


class Loss(VAELoss):
    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def objective(self, outputs, *, distortion, rate, step):
        return LossTerms(self.weight * distortion)


class Squares:
    image_shape = (1, 4, 4)
    num_classes = None

    def count(self, split):
        return 20 if split == "train" else 10

    def fingerprint(self):
        return hashlib.sha256(b"squares").hexdigest()

    def read(self, split):
        generator = np.random.default_rng(3)
        images = generator.integers(0, 256, (self.count(split), 1, 4, 4), dtype=np.uint8)
        return images, None
"""

GROUPS = {
    "network/mine.yaml": """
        # My network
        encoder: {_target_: users_parts.Encoder, _partial_: true}
        decoder: {_target_: ganvas.nn.dense.DenseDecoder, _partial_: true, hidden: [8]}
        """,
    "loss/mine.yaml": """
        # My loss
        _target_: users_parts.Loss
        weight: 0.5
        """,
    "dataset/mine.yaml": """
        # My images
        defaults: [_base, _self_]
        name: mine
        image_size: 4
        batch_size: 5
        source: {_target_: users_parts.Squares}
        """,
}

CHOICES = ("network=mine", "loss=mine", "dataset=mine", "trainer.checkpoint.monitor=val/loss")
NO_TRUST = (
    "is of no trusted module; where it is your own code, "
    "add trust=[users_parts] (or set GANVAS_TRUST=users_parts)"
)


@pytest.fixture
def mine(place: Path, tmp_path: Path) -> Path:
    """A working folder with the user's module in it; the folder of their config groups."""
    (place / "users_parts.py").write_text(PARTS)
    groups = tmp_path / "groups"
    for name, text in GROUPS.items():
        file = groups / name
        file.parent.mkdir(parents=True)
        file.write_text(textwrap.dedent(text).lstrip())
    return groups


def train_mine(groups: Path, *overrides: str) -> Said:
    return train(f"--config-dir={groups}", *CHOICES, *overrides)


def test_trained_sampled_and_evaluated(mine: Path, place: Path) -> None:
    said = train_mine(mine, "trust=[users_parts]", "test=true")
    assert said.code == 0, said.err
    run = only_run(place / "runs")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["loss"] == {"_target_": "users_parts.Loss", "weight": 0.5}
    assert "trust" not in config

    said = ganvas("evaluate", str(run))
    assert said.code == 2
    assert (
        f"network.encoder._target_: `users_parts.Encoder` {NO_TRUST}" in said.message.splitlines()
    )
    assert ganvas("evaluate", str(run), "trust=[users_parts]").code == 0
    assert ganvas("sample", str(run), "trust=[users_parts]", "n=2").code == 0

    with pytest.raises(ConfigError, match="is of no trusted module"):
        library.load_run(run).load_model()
    view = library.load_run(run, trust=["users_parts"]).model
    assert view.sample(3).shape == (3, 1, 4, 4)

    said = ganvas("train", f"resume={run}", "trainer.max_steps=3", "trust=[users_parts]")
    assert said.code == 0, said.err
    record = library.load_run(run).record
    assert record["status"] == "finished"


def test_trusted_by_the_environment(
    mine: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANVAS_TRUST", "users_parts")
    assert train_mine(mine).code == 0
    run = only_run(place / "runs")
    assert ganvas("sample", str(run), "n=1").code == 0


def test_without_trust_nothing_is_imported(mine: Path, place: Path) -> None:
    (place / "users_parts.py").write_text("open('canary', 'w')\n")
    said = train_mine(mine)
    assert said.code == 2
    first = said.message.splitlines()[0]
    assert first == f"network.encoder._target_: `users_parts.Encoder` {NO_TRUST}"
    assert [p.name for p in place.iterdir()] == ["users_parts.py"]


def test_the_arguments_of_own_code_are_checked_too(mine: Path, place: Path) -> None:
    said = train_mine(mine, "trust=[users_parts]", "loss.weight=heavy")
    assert said.message == "loss.weight: should be a valid number, got 'heavy'"
    said = train_mine(mine, "trust=[users_parts]", "loss.wieght=1")
    assert said.message == "`loss.wieght`: no such key; did you mean `weight`?"
    assert not (place / "runs").exists()


def test_an_error_at_step_two(mine: Path, place: Path) -> None:
    said = train_mine(mine, "trust=[users_parts]", "+network.encoder.fail_at=2")
    run = only_run(place / "runs")
    log = run / "log.txt"
    assert said.code == 1
    assert said.message.splitlines() == [
        "KeyError: 'no such feature'",
        f"the traceback is in {log}",
    ]
    assert "Traceback (most recent call last):" in log.read_text()
    assert 'raise KeyError("no such feature")' in log.read_text()
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("failed", "KeyError: 'no such feature'")


def test_full_error_shows_the_traceback(
    mine: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = train_mine(mine, "trust=[users_parts]", "+network.encoder.fail_at=2", "full_error=true")
    assert said.code == 1
    assert said.err.count('raise KeyError("no such feature")') == 1
    monkeypatch.setenv("GANVAS_FULL_ERROR", "1")
    said = train_mine(mine, "trust=[users_parts]", "+network.encoder.fail_at=2")
    assert said.err.count('raise KeyError("no such feature")') == 1
    assert len(list((place / "runs" / "vae_mine").iterdir())) == 2


def test_an_error_while_the_model_is_checked(mine: Path, place: Path) -> None:
    overrides = ("trust=[users_parts]", "+network.encoder.fail_on_meta=true")
    said = train_mine(mine, *overrides)
    assert said.code == 2
    assert said.message == (
        "KeyError: 'no such feature' (full_error=true shows where it was raised)"
    )
    assert not (place / "runs").exists()
    said = train_mine(mine, *overrides, "full_error=true")
    assert said.code == 2
    assert 'raise KeyError("no such feature")' in said.err
    assert not (place / "runs").exists()


def test_an_error_while_own_code_is_imported(mine: Path, place: Path) -> None:
    (place / "users_parts.py").write_text("raise OSError('no licence')\n")
    said = train_mine(mine, "trust=[users_parts]")
    assert said.code == 2
    assert said.message == "OSError: no licence (full_error=true shows where it was raised)"
    assert not (place / "runs").exists()


def test_one_failing_job_does_not_stop_a_sweep(mine: Path, place: Path) -> None:
    said = train_mine(
        mine, "trust=[users_parts]", "-m", "+network.encoder.fail_at=2,null", "seed=0"
    )
    assert said.code == 1
    records = [json.loads(f.read_text()) for f in (place / "runs" / "sweeps").rglob("run.json")]
    assert sorted(r["status"] for r in records) == ["failed", "finished"]
    (failed,) = (f.parent for f in place.rglob("run.json") if "failed" in f.read_text())
    assert "cell 0 failed (KeyError: 'no such feature') after" in said.out
    assert 'raise KeyError("no such feature")' in (failed / "log.txt").read_text()


def test_the_python_api_raises_the_error_itself(mine: Path, place: Path) -> None:
    from engine_helpers import TINY

    overrides = [*TINY, *CHOICES, "trust=[users_parts]", "+network.encoder.fail_at=2"]
    with pytest.raises(KeyError, match="no such feature"):
        library.train(overrides, config_dir=mine)
    assert (only_run(place / "runs") / "log.txt").is_file()


def test_own_options_are_listed_and_suggested(mine: Path) -> None:
    said = train_mine(mine, "loss=mien")
    assert said.message == "loss=mien: no such loss; did you mean `mine`?"
