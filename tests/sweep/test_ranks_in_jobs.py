"""Several ranks for one run: inside a sweep's job, under srun, and under torchrun on two nodes."""

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
from ganvas.engine.ranks import check_ranks, global_rank, join_srun, launched_externally, launcher
from ganvas.errors import ConfigError

PATIENCE = 150  # seconds until a test gives up; none of them waits for it when all is well
TINY = [
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.log_every_n_steps=5",
]
STEP = {
    "SLURM_JOB_ID": "98765",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[07,09-11]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
}
BATCH = {
    "SLURM_JOB_ID": "98765",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NODELIST": "gpu07",
}
SALLOC = BATCH | {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets variables in a copy of the environment, which a test may change."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return os.environ.update


def test_srun_in_torchruns_words(environment: Callable[[dict[str, str]], None]) -> None:
    environment(STEP)
    assert launcher() == "srun"
    join_srun()
    assert (launcher(), global_rank(), launched_externally()) == ("torchrun", 3, True)
    told = {key: os.environ[key] for key in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE")}
    assert told == {"LOCAL_RANK": "1", "NODE_RANK": "1", "WORLD_SIZE": "4"}
    assert os.environ["MASTER_ADDR"] == "gpu07"
    assert 1024 < int(os.environ["MASTER_PORT"]) < 32768
    check_ranks(devices=2, num_nodes=2)
    with pytest.raises(ConfigError, match="asks for 2 processes, but 4 were started"):
        check_ranks(devices=2, num_nodes=1)


@pytest.mark.parametrize("variables", [{}, BATCH, SALLOC], ids=["none", "sbatch", "salloc"])
def test_a_batch_script_is_no_rank(
    variables: dict[str, str], environment: Callable[[dict[str, str]], None]
) -> None:
    environment(variables)
    join_srun()
    assert (launcher(), global_rank(), launched_externally()) == (None, 0, False)
    check_ranks(devices=2, num_nodes=1)
    with pytest.raises(ConfigError, match="started by torchrun or srun"):
        check_ranks(devices=2, num_nodes=2)


@pytest.mark.parametrize(
    ("variables", "by"), [(STEP, "srun"), ({"RANK": "0", "LOCAL_RANK": "0"}, "torchrun")]
)
def test_no_sweep_in_each_rank(
    variables: dict[str, str],
    by: str,
    environment: Callable[[dict[str, str]], None],
    tmp_path: Path,
    capsys: Any,
) -> None:
    environment(variables)
    assert main(["train", "-m", "seed=0,1", f"paths.runs_dir={tmp_path / 'runs'}"]) == 2
    assert f"-m: {by} has started this process as one of several" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def start(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=os.environ | environment, start_new_session=True, stderr=subprocess.DEVNULL
    )


def finish(*processes: subprocess.Popen[bytes]) -> list[int]:
    try:
        return [process.wait(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def records(runs: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(runs.glob("**/run.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["srun", "torchrun", "two nodes"])
def test_ranks_that_others_start(how: str, tmp_path: Path) -> None:
    """One run, written by rank 0, whose best checkpoint all ranks test; and -m is refused."""
    two = how == "two nodes"
    command = [
        *(sys.executable, "-m", "ganvas", "train", *TINY),
        *("trainer.max_epochs=2", "trainer.checkpoint.monitor=val/rate"),
        *("trainer.checkpoint.mode=min", f"trainer.devices={1 if two else 2}"),
        *(f"trainer.num_nodes={2 if two else 1}", f"paths.runs_dir={tmp_path / 'runs'}"),
    ]
    if how == "srun":
        programs = fake_slurm.install(tmp_path / "bin")
        slurm = {**BATCH, "SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "localhost"}
        codes = finish(start(str(programs / "srun"), *command, **slurm))
    else:
        shared = [sys.executable, "-m", "torch.distributed.run", "--master-addr", "127.0.0.1"]
        shared += ["--master-port", str(20000 + os.getpid() % 9000)]
        shared += ["--nnodes", "2", "--nproc-per-node", "1"] if two else ["--nproc-per-node", "2"]
        ranks = [["--node-rank", "0"], ["--node-rank", "1"]] if two else [[]]
        codes = finish(*(start(*shared, *rank, *command[1:]) for rank in ranks))
    assert set(codes) == {0}
    [record] = records(tmp_path / "runs")
    assert record["status"] == "finished"
    elbo = record["metrics"]["test/elbo"]
    assert elbo["best"]["step"] < elbo["final"]["step"]


def wait_for(ready: Callable[[], bool], *, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not come; exit code {process.poll()}")


def ranks_of(run: Path) -> list[int]:
    """Processes of ranks other than 0 of a run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"ganvas.engine.ranks" in words and str(run).encode() in words:
            found.append(int(file.parent.name))
    return found


@pytest.mark.slow
def test_a_rank_that_dies_ends_its_job_alone(tmp_path: Path) -> None:
    """Two jobs of two ranks at once: one rank is killed, the other job ends as if alone."""
    process = start(
        *(sys.executable, "-m", "ganvas", "train", "-m", *TINY, "seed=0,1", "test=false"),
        *("hydra.launcher.n_jobs=2", "hydra.launcher.report=false", "trainer.max_steps=3000"),
        f"paths.runs_dir={tmp_path}",
        OMP_NUM_THREADS="4",
    )

    def runs() -> list[Path]:
        traced = tmp_path.glob("sweeps/*/*/*/trace.csv")
        return sorted(file.parent for file in traced if file.read_text().count("\n") > 10)

    wait_for(lambda: len(runs()) == 2, process=process)
    killed, other = runs()
    [rank] = ranks_of(killed)
    assert f"OMP_NUM_THREADS={1}".encode() in Path(f"/proc/{rank}/environ").read_bytes()
    os.kill(rank, signal.SIGKILL)
    assert finish(process) == [1]
    [manifest] = tmp_path.glob("sweeps/*/sweep.json")
    cells = {c["run"]: c for c in json.loads(manifest.read_text())["cells"]}
    by_run = [cells[run.relative_to(manifest.parent).as_posix()] for run in (killed, other)]
    assert [cell["state"] for cell in by_run] == ["failed", "done"]
    assert by_run[0]["reason"]
    assert ranks_of(killed) == ranks_of(other) == []
