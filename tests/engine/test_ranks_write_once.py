"""Of two ranks only the first one writes: one record, one log, one W&B run."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from engine_helpers import only_run

sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))

from wandb_reader import read_wandb

PATIENCE = 100  # seconds; not waited for when all is well
SIZE = (
    "model=conv_vae",
    "trainer.max_steps=12",
    "trainer.log_every_n_steps=4",
    "trainer.val_check_interval=6",
    "trainer.progress_bar=false",
    "callbacks.images.num=4",
    "metrics=[samples]",
    "evaluation.num=64",
    "dataset.max_train=320",
    "dataset.val_size=40",
    "logger.mode=offline",
)
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def trained(runs: Path, *overrides: str) -> Path:
    command = [sys.executable, "-m", "ganvas", "train", *SIZE, *overrides]
    said = subprocess.run(
        [*command, f"paths.runs_dir={runs}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "WANDB_MODE": "offline"},
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("checkpoint    ") == 1  # one closing table
    return only_run(runs)


def rows(run: Path) -> list[tuple[str, ...]]:
    with (run / "metrics.csv").open() as file:
        return [(row["step"], row["name"]) for row in csv.DictReader(file)]


def names(run: Path) -> set[str]:
    return {
        str(path.relative_to(run))
        for path in run.rglob("*")
        if path.is_file() and "wandb" not in path.parts
    }


@pytest.mark.slow
def test_two_ranks_leave_what_one_process_leaves(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", "trainer=cpu")
    two = trained(tmp_path / "two", *TWO)
    assert names(two) == names(one)
    assert rows(two) == rows(one)
    assert len(rows(two)) == len(set(rows(two)))
    [offline] = two.glob("wandb/offline-run-*/*.wandb")
    shown = read_wandb(offline)
    assert json.loads((two / "run.json").read_text())["wandb"]["id"] == two.name
    assert [step for step, _ in shown.values("train/loss")] == [4, 6, 8, 12]
    assert shown.run_id == two.name
