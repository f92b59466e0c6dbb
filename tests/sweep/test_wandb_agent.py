"""A run under a W&B agent, from the sweep's YAML: started as the agent does, stopped, resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.engine_helpers import TINY, ganvas, only_run
from ganvas.engine.check import check_overrides
from ganvas.tracking import read_run_json
from tracking.fake_wandb import without_account
from tracking.wandb_reader import read_wandb

ROOT = Path(__file__).parents[2]
SWEEP = yaml.safe_load((ROOT / "experiments" / "sweeps" / "wandb_sweep.yaml").read_text())
STOPPING = """
import os, signal
from pytorch_lightning import Callback


class Stop(Callback):
    def on_train_batch_end(self, trainer, model, *_):
        if model.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
"""
CHOSEN = {
    "dataset": "digits",
    "trainer.max_epochs": 40,
    "model": "conv_vae",
    "model.latent_dim": 4,
    "loss.beta": 2.25,
    "optimizer.lr": 0.002,
    "seed": 1,
}


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with without_account(tmp_path, monkeypatch):
        yield


def agents_command(args: dict[str, dict[str, Any]]) -> list[str]:
    """As `wandb agent` makes it, by its own functions: see `Agent._command_run`."""
    from wandb.sdk.launch.sweeps import utils

    known = {**utils.create_sweep_command_args({"args": args}), "env": ["/usr/bin/env"]}
    command: list[str] = []
    for part in utils.create_sweep_command(list(SWEEP["command"])):
        macro = part.startswith("${") and part.endswith("}")
        command += known[part[2:-1]] if macro else [part]
    return command


def drawn() -> dict[str, dict[str, Any]]:
    return {key: {"value": value} for key, value in CHOSEN.items()}


def test_every_parameter_is_a_key_that_training_knows() -> None:
    assert set(SWEEP["parameters"]) == set(CHOSEN)
    assert SWEEP["metric"] == {"name": "val/elbo", "goal": "maximize"}
    for end in (0, -1):
        ends = {key: _values(space)[end] for key, space in SWEEP["parameters"].items()}
        checked = check_overrides([f"{key}={value}" for key, value in ends.items()])
        assert checked.choices["model"] == ends["model"]
        assert checked.config["loss"]["beta"] == ends["loss.beta"]


def _values(space: dict[str, Any]) -> list[Any]:
    """Of one parameter, the ends of an interval in order."""
    if "min" in space:
        return [space["min"], space["max"]]
    return space.get("values") or [space["value"]]


def environment(tmp_path: Path) -> dict[str, str]:
    """What an agent sets, and its file of parameters."""
    from wandb.sdk.lib import config_util

    file = tmp_path / "agent" / "config.yaml"
    config_util.save_config_file_from_dict(str(file), drawn())
    return {
        "WANDB_SWEEP_ID": "sw33p",
        "WANDB_RUN_ID": "run1d",
        "WANDB_PROJECT": "theirs",
        "WANDB_ENTITY": "team",
        "WANDB_SWEEP_PARAM_PATH": str(file),
        "WANDB_MODE": "offline",
        "GANVAS_RUNS_DIR": str(tmp_path / "runs"),
        "PYTHONPATH": f"{ROOT / 'src'}:{tmp_path}",
    }


def start(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The agent's command, with a tiny budget, until it is stopped."""
    env, program, *rest = agents_command(drawn())
    assert (env, program, rest[0]) == ("/usr/bin/env", "ganvas", "train")
    tiny = [o for o in TINY if not o.startswith(("logger", "trainer.max_steps"))]
    more = ["trainer.max_steps=5", "trainer.log_every_n_steps=1", "trust=[users_stop]"]
    stop = "+callbacks.stop._target_=users_stop.Stop"
    return subprocess.run(
        [env, sys.executable, "-m", "ganvas", *rest, *tiny, *more, stop],
        env={**os.environ, **environment(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_run_of_an_agent(quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_stop.py").write_text(STOPPING)
    monkeypatch.syspath_prepend(tmp_path)
    done = start(tmp_path)
    assert done.returncode == 143, done.stderr
    assert "Ignoring" not in done.stderr and "locked" not in done.stderr, done.stderr
    run = only_run(tmp_path / "runs")
    shown = {"id": "run1d", "project": "theirs", "entity": "team", "sweep": "sw33p"}
    assert shown.items() <= read_run_json(run)["wandb"].items()

    said = ganvas("train", f"resume={run}", "trust=[users_stop]")  # without the agent
    assert said.code == 0, said.err
    assert shown.items() <= read_run_json(run)["wandb"].items()

    files = sorted(run.glob("wandb/offline-run-*/*.wandb"), key=lambda f: f.stat().st_mtime_ns)
    segments = [read_wandb(file) for file in files]
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    for segment in segments:
        assert (segment.run_id, segment.project, segment.entity) == ("run1d", "theirs", "team")
        assert segment.sweep_id == "sw33p"
        assert segment.config["loss"] == recorded["loss"]
        assert segment.config["loss"]["beta"] == 2.25
    assert [segment.exit_code for segment in segments] == [143, 0]
    steps = [[step for step, _ in one.values("train/loss")] for one in segments]
    assert steps == [[1, 2, 3], [4, 5]]

    first = segments[0].config  # the agent's `model: conv_vae` stands where a section would be
    assert {key: first[key] for key in CHOSEN} == CHOSEN
    for key, value in recorded["model"].items():
        assert first[f"model.{key}"] == value
