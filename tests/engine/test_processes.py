"""Real processes: two ranks, signals, and a run with all tricks that is killed and resumed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import Trap, differences, drive

from ganvas.cli.main import main

PATIENCE = 100  # seconds until a test gives up; none of them waits for it when all is well
TINY = [
    "trainer=cpu",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.log_every_n_steps=5",
    "test=false",
]


def start(*overrides: str, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ganvas", "train", *TINY, *overrides, f"paths.runs_dir={runs}"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    try:
        process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def only_run(runs: Path) -> Path:
    [found] = runs.glob("*/*/run.json")
    return found.parent


def trace(run: Path) -> list[dict[str, str]]:
    with (run / "trace.csv").open() as file:
        return list(csv.DictReader(file))


def steps_in(runs: Path) -> int:
    traces = list(runs.glob("*/*/trace.csv"))
    return traces[0].read_text().count("\n") - 1 if traces else 0


def wait_for_steps(runs: Path, *, steps: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if steps_in(runs) >= steps:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {steps} steps came; exit code {process.poll()}")


def final(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("model", [pytest.param("vae", marks=pytest.mark.slow), "gan"])
def test_two_ranks_equal_one(model: str, tmp_path: Path) -> None:
    """The run itself refuses to finish if the ranks' weights differ (`RanksAgree`)."""
    size = [f"model={model}", "trainer.max_steps=12", "trainer.deterministic=true"]
    ranks = start(*size, "trainer=ddp", "trainer.accelerator=cpu", runs=tmp_path / "two")
    assert finish(ranks) == 0
    assert main(["train", *TINY, *size, f"paths.runs_dir={tmp_path / 'one'}"]) == 0
    two, one = only_run(tmp_path / "two"), only_run(tmp_path / "one")
    assert json.loads((two / "run.json").read_text())["status"] == "finished"
    assert len(trace(two)) == len(trace(one)) == 12
    for ours, theirs in zip(trace(two), trace(one), strict=True):
        for name in theirs:
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-4, abs=1e-5)
    for name, weight in final(one)["state_dict"].items():
        torch.testing.assert_close(final(two)["state_dict"][name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_ranks_of_a_gan_with_a_penalty_equal_one(tmp_path: Path) -> None:
    """R1 every second step, an averaged generator, no batch norm: the same weights in ten steps.

    Both ranks' weights are equal, or the run had not finished (`RanksAgree`). Gradient descent, as
    Adam makes steps of full length of rounding errors.
    """
    sides = ("generator", "critic")
    size = ["model=gan", "penalty=r1", "penalty.r1.interval=2", "model.ema_decay=0.9"]
    size += [f"optimizer@optimizer.{side}=sgd" for side in sides]
    size += [f"optimizer.{side}.lr=0.1" for side in sides]
    size += ["trainer.max_steps=10", "trainer.deterministic=true", "seed=3"]
    ranks = start(*size, "trainer=ddp", "trainer.accelerator=cpu", runs=tmp_path / "two")
    assert main(["train", *TINY, *size, f"paths.runs_dir={tmp_path / 'one'}"]) == 0
    assert finish(ranks) == 0
    two, one = only_run(tmp_path / "two"), only_run(tmp_path / "one")
    assert json.loads((two / "run.json").read_text())["status"] == "finished"
    assert [row["r1"] != "" for row in trace(two)] == [step % 2 == 0 for step in range(10)]
    ours, theirs = final(two)["state_dict"], final(one)["state_dict"]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    weights = [name for name in theirs if name.startswith("generator.")]
    lags = [(theirs[f"average.network.{n[10:]}"] - theirs[n]).abs().max() for n in weights]
    assert min(lags) > 1e-4  # so the generator has moved, and with it the average
    assert float(trace(one)[-1]["critic_loss"]) < float(trace(one)[0]["critic_loss"]) - 0.1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_cleanly(number: signal.Signals, code: int, tmp_path: Path) -> None:
    process = drive(tmp_path, "train", *TINY, "model=gan", "trainer.max_epochs=100000")
    process.until(lambda: steps_in(tmp_path / "runs") > 10)
    process.kill(number)
    assert process.code() == code
    run = only_run(tmp_path / "runs")
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", f"signal {int(number)}")
    assert final(run)["ganvas_counters"]["step"] >= 10


ALL_TRICKS = [
    "model=dcgan",
    "network.generator.width=4",
    "network.critic.width=4",
    "network.generator.dropout=0.1",
    "network.critic.dropout=0.1",
    "network.critic.norm=null",
    "network.critic.spectral_norm=true",
    "penalty=r1",
    "penalty.r1.interval=4",
    "model.n_critic=2",
    "model.ema_decay=0.99",
    "model.ema_warmup=20",
    "model.prior=uniform",
    "model.together=true",
    "model.label_smoothing=0.1",
    "model.label_noise=0.1",
    "model.label_flips=0.1",
    "model.instance_noise={_target_:ganvas.schedules.LinearSchedule,start:0.2,end:0,steps:50}",
    "model.augment=[color,translation,cutout]",
    "model.replay=40",
    "trainer.lr_schedule={_target_:ganvas.schedules.CosineSchedule,start:1,end:0.1,steps:60}",
    "trainer.gradient_clip_val=1",
    "trainer.accumulate_grad_batches=2",
    "trainer.max_steps=72",
    "trainer.checkpoint.every_n_steps=6",
    "dataset.max_train=240",
    "dataset.batch_size=20",
    "callbacks.images={_target_:ganvas.callbacks.images.ImageGrids,num:4,every_n_epochs:1}",
]


def test_a_killed_gan_with_all_tricks_resumes_exactly(tmp_path: Path) -> None:
    """Weights, average, history, optimisers, figures and pictures, to the bit.

    It is killed inside an accumulation window of the third epoch.
    """
    assert drive(tmp_path / "whole", "train", *TINY, *ALL_TRICKS).code() == 0
    process = drive(tmp_path / "cut", "train", *TINY, *ALL_TRICKS, hook=Trap("step", 33))
    assert process.code() == -signal.SIGKILL
    whole, cut = only_run(tmp_path / "whole" / "runs"), only_run(tmp_path / "cut" / "runs")
    assert 24 <= final(cut)["ganvas_counters"]["step"] < 33
    assert drive(tmp_path / "cut", "train", f"resume={cut}").code() == 0
    assert final(whole)["ganvas_counters"]["generator_steps"] == 18
    assert len(list((whole / "samples").iterdir())) > 2
    assert differences(cut, whole) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_one_rank_ends_all(
    number: signal.Signals, tmp_path: Path, rank_pid: Callable[[int], int]
) -> None:
    many = ["model=gan", "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=100000"]
    process = start(*many, runs=tmp_path)
    wait_for_steps(tmp_path, steps=10, process=process)
    os.kill(rank_pid(process.pid), number)
    assert finish(process) == (143 if number == signal.SIGTERM else 1)
    record = json.loads((only_run(tmp_path) / "run.json").read_text())
    assert record["status"] == ("interrupted" if number == signal.SIGTERM else "failed")


@pytest.mark.slow
def test_a_signal_to_all_while_ranks_begin(tmp_path: Path, rank_pid: Callable[[int], int]) -> None:
    """As Ctrl-C sends it: rank 1, which imports for some seconds yet, leaves it to rank 0."""
    many = ["model=gan", "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=100000"]
    process = start(*many, runs=tmp_path)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(ValueError, OSError):  # there is no rank yet
            told = Path(f"/proc/{rank_pid(process.pid)}/status").read_text()
            if int(told.partition("SigIgn:")[2].split()[0], 16) & 1 << (signal.SIGINT - 1):
                break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    record = json.loads((only_run(tmp_path) / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "signal 2")


@pytest.fixture
def rank_pid() -> Callable[[int], int]:
    """Finds the process of rank 1 among the children of rank 0."""

    def find(parent: int) -> int:
        listed = Path(f"/proc/{parent}/task").glob("*/children")
        children = [int(c) for file in listed for c in file.read_text().split()]
        [rank] = [
            c for c in children if b"ganvas.engine.ranks" in Path(f"/proc/{c}/cmdline").read_bytes()
        ]
        return rank

    return find
