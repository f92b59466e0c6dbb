"""Jobs of a cluster whose driver is killed, whose time is up, or that are cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_slurm
import pytest

from ganvas.cli.main import main
from ganvas.tracking import holder

PATIENCE = 150  # seconds until a test gives up; none of them waits for it when all is well
OVERRIDES = [
    *("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.report=false"),
    *(
        "trainer=cpu",
        "trainer.max_epochs=null",
        "logger=none",
        "callbacks.images=null",
        "trainer.progress_bar=false",
    ),
    *("trainer.log_every_n_steps=5", "trainer.check_val_every_n_epoch=1000", "test=false"),
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster on PATH; its folder of scripts and states."""
    state = tmp_path / "cluster"
    programs = fake_slurm.install(tmp_path / "bin")
    state.mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return state


def wait_for(ready: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def steps(run: Path) -> int:
    file = run / "trace.csv"
    return file.read_text().count("\n") - 1 if file.exists() else 0


def cells(sweep: Path) -> list[dict[str, Any]]:
    return list(json.loads((sweep / "sweep.json").read_text())["cells"])


def sign(sweep: Path) -> dict[str, Any]:
    [file] = (sweep / "slurm").glob("0000-*.json")
    return dict(json.loads(file.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["slurm", "local"])
def test_a_job_outlives_its_driver_and_is_requeued(
    executor: str, cluster: Path, tmp_path: Path, capsys: Any
) -> None:
    """The driver is killed, then the job's time is up; resume starts nothing twice."""
    overrides = [*OVERRIDES, "trainer.max_steps=1500", f"hydra.launcher.executor={executor}"]
    command = [sys.executable, "-m", "ganvas", "train", "-m", *overrides, "seed=0"]
    driver = subprocess.Popen([*command, f"paths.runs_dir={tmp_path}"])
    [run] = wait_for(
        lambda: [f.parent for f in tmp_path.glob("sweeps/*/*/*/trace.csv") if steps(f.parent) > 20]
    )
    driver.kill()
    driver.wait()
    sweep = run.parents[1]
    job = holder(run)
    assert job is not None  # the job goes on
    assert main(["sweep", "status", str(sweep)]) == 0
    assert "1 running" in capsys.readouterr().out
    os.kill(job, signal.SIGUSR2)
    wait_for(lambda: sign(sweep).get("requeued") == 1)
    assert main(["sweep", "resume", str(sweep)]) == 0
    [cell] = cells(sweep)
    assert (cell["state"], len(cell["attempts"])) == ("done", 1)
    record = json.loads((sweep / cell["run"] / "run.json").read_text())
    assert 20 < record["resumed"][0]["from_step"] < 1500
    assert steps(run) == 1500
    assert len(list(cluster.glob("script-*.sh"))) == (1 if executor == "slurm" else 0)


@pytest.mark.slow
def test_submitted_and_left(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Two jobs wait in the queue; only the one that is cancelled is submitted again."""
    monkeypatch.setenv("FAKE_SLURM_HOLD", "1")
    overrides = [*OVERRIDES, "trainer.max_steps=2", "hydra.launcher.wait=false", "seed=0,1"]
    assert main(["train", "-m", *overrides, f"paths.runs_dir={tmp_path}"]) == 0
    [sweep] = tmp_path.glob("sweeps/*")
    assert [cell["state"] for cell in cells(sweep)] == ["queued", "queued"]
    fake_slurm.STATE = cluster
    fake_slurm.scancel("1234_1")
    capsys.readouterr()
    assert main(["sweep", "status", str(sweep)]) == 0
    assert "1 queued, 1 interrupted" in capsys.readouterr().out
    released = fake_slurm.release("1234_0")
    assert released.wait(timeout=PATIENCE) == 0
    monkeypatch.delenv("FAKE_SLURM_HOLD")
    assert main(["sweep", "resume", str(sweep)]) == 0  # submits the cancelled one, and leaves
    assert len(list(cluster.glob("script-*.sh"))) == 2
    first, second = cells(sweep)
    assert (first["state"], len(first["attempts"])) == ("done", 1)
    assert [attempt["job"] for attempt in second["attempts"]] == ["1234_1", "1235"]
    wait_for((cluster / "1235.code").exists)
    assert main(["sweep", "resume", str(sweep)]) == 0
    assert [cell["state"] for cell in cells(sweep)] == ["done", "done"]
