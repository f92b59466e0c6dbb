"""A run that collapses, seen from outside: its record, log, closing table, trackers, resumption."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_helpers import Said, ganvas, only_run, train

from ganvas import load_run

sys.path.insert(0, str(Path(__file__).parents[1] / "tracking"))

from wandb_reader import read_wandb

CONSTANT = """
import torch
from torch import nn


class Constant(nn.Module):
    '''A last activation that forgets its input from some call in evaluation on.'''

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self.after, self.calls = after, 0

    def forward(self, x):
        self.calls += not self.training and not x.is_meta and not x.requires_grad
        return torch.tanh(x) * (self.training or self.calls <= self.after)
"""

SMALL = (
    "model=gan",
    "model.ema_decay=null",
    "network.generator.hidden=[8]",
    "network.critic.hidden=[8]",
    "dataset.max_train=100",
    "dataset.val_size=20",
    "dataset.batch_size=10",
    "trainer.log_every_n_steps=2",
    "callbacks.diversity.num=20",
)
ALIKE = "diversity of the samples 0 is under 0.001"


@pytest.fixture(autouse=True)
def _own_module(place: Path, fresh_modules: None) -> None:
    (place / "users_constant.py").write_text(CONSTANT)


def constant(*, after: int) -> tuple[str, ...]:
    """Samples are all alike after so many batches in evaluation; a validation has five."""
    return (
        "trust=[users_constant]",
        "network.generator.output._target_=users_constant.Constant",
        f"+network.generator.output.after={after}",
        "callbacks.collapse.diversity=0.001",
    )


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def trained(*overrides: str) -> Said:
    """Three epochs of ten steps."""
    return train(*SMALL, "trainer.max_steps=30", *overrides)


def test_a_run_that_is_well_has_best_and_final_and_no_collapse(place: Path) -> None:
    """The default callbacks: nothing has to be asked for."""
    said = trained("test=true")
    assert said.code == 0, said.err
    record = record_of(only_run(place))
    assert (record["status"], record["reason"], record["collapses"]) == ("finished", None, [])
    column = load_run(only_run(place)).metrics()["val/diversity"].dropna()
    found = record["metrics"]["val/diversity"]
    assert list(column.index) == [10, 20, 30]
    assert found["higher_is_better"] is True
    assert found["final"] == {"value": column[30], "step": 30}
    assert found["best"] == {"value": column.max(), "step": column.idxmax()}
    assert set(record["metrics"]["test/diversity"]) == {"final", "best", "higher_is_better"}
    rows = [line for line in said.out.splitlines() if "diversity" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["val/diversity", "test/diversity"]
    assert [f"{column[30]:.4f}", f"{column.max():.4f}"] == [
        cell.strip() for cell in rows[0].split("│")[2:4]
    ]
    assert "collapse" not in said.out


def test_a_warning_is_in_record_log_and_table_and_training_goes_on(place: Path) -> None:
    said = trained(*constant(after=5))
    assert said.code == 0, said.err
    run = only_run(place)
    record = record_of(run)
    assert (record["status"], record["reason"]) == ("finished", None)
    (event,) = record["collapses"]
    assert event == {"step": 20, "rule": "diversity", "reason": ALIKE, "value": 0.0}
    assert (
        f"WARNING ganvas.callbacks.collapse: collapse at step 20: {ALIKE}"
        in (run / "log.txt").read_text()
    )
    assert f"collapse      step 20: {ALIKE}\n" in said.out
    assert said.err == f"ganvas: warning: collapse at step 20: {ALIKE}\n"  # when it happens
    assert load_run(run).metrics().index.max() == 30


def test_stop_ends_the_run_with_its_reason_and_tests_the_final_weights(place: Path) -> None:
    said = trained(*constant(after=5), "callbacks.collapse.action=stop", "test=true")
    assert said.code == 0, said.err
    run = only_run(place)
    record = record_of(run)
    assert record["status"] == "finished"
    assert record["reason"] == f"collapse at step 20: {ALIKE}"
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["ganvas_counters"]["step"] == 20
    assert record["metrics"]["test/diversity"]["final"] == {"value": 0.0, "step": 20}
    assert record["metrics"]["val/diversity"]["best"]["step"] == 10


def test_wandb_shows_step_and_reason(place: Path) -> None:
    said = trained(*constant(after=5), "logger=wandb", "logger.mode=offline")
    assert said.code == 0, said.err
    (file,) = only_run(place).glob("wandb/offline-run-*/run-*.wandb")
    run = read_wandb(file)
    assert run.summary["collapse/step"] == 20
    assert run.summary["collapse/reason"] == ALIKE
    assert run.summary["best/val/diversity"] > run.summary["val/diversity"] == 0


def test_a_resumed_run_has_each_event_once_and_none_of_after_its_checkpoint(place: Path) -> None:
    """Events of steps 2 to 30; then back to the checkpoint of step 15, and on to 30 again."""
    tight = ("callbacks.collapse.gradient_factor=1.02", "callbacks.collapse.gradient_warmup=1")
    keep = ("trainer.checkpoint.every_n_steps=15", "trainer.checkpoint.keep=9")
    assert trained(*tight, *keep).code == 0
    run = only_run(place)
    whole = record_of(run)["collapses"]
    assert {event["step"] <= 15 for event in whole} == {True, False}
    folder = run / "checkpoints"
    (folder / "step-00000015.ckpt").replace(folder / "last.ckpt")
    interrupted = {**record_of(run), "status": "interrupted"}
    (run / "run.json").write_text(json.dumps(interrupted))
    said = ganvas("train", f"resume={run}")
    assert said.code == 0, said.err
    assert record_of(run)["collapses"] == whole


def test_null_switches_it_off(place: Path) -> None:
    said = trained(*constant(after=5)[:3], "callbacks.collapse=null", "callbacks.diversity=null")
    assert said.code == 0, said.err
    record = record_of(only_run(place))
    assert "collapses" not in record
    assert not [name for name in record["metrics"] if "diversity" in name]


def test_a_vae_is_not_watched(vae_run: Path) -> None:
    assert "collapses" not in record_of(vae_run)


def test_the_best_checkpoint_may_be_the_most_diverse(place: Path) -> None:
    said = trained(*constant(after=5), "trainer.checkpoint.monitor=val/diversity", "test=true")
    assert said.code == 0, said.err
    run = only_run(place)
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["ganvas_counters"]["step"] == 10
    assert record_of(run)["metrics"]["test/diversity"]["best"]["step"] == 10


def test_a_watched_metric(place: Path) -> None:
    """It falls to 0 of its best."""
    watched = ("callbacks.collapse.metric=val/diversity", "callbacks.collapse.diversity=null")
    said = trained(*constant(after=5)[:3], *watched)
    assert said.code == 0, said.err
    (event,) = record_of(only_run(place))["collapses"]
    assert (event["rule"], event["step"], event["value"]) == ("metric", 20, 0.0)
    assert event["reason"].startswith("val/diversity 0 is 2 times off its best 0.")
