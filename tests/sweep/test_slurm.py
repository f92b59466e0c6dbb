"""Cells as jobs of a cluster: what is submitted, and what a stand-in of SLURM makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_slurm
import pytest

from ganvas.cli.main import main
from ganvas.engine.settings import validate
from ganvas.errors import ConfigError
from ganvas.sweep.manifest import Attempt, Cell, Manifest, now
from ganvas.sweep.settings import SweepSettings
from ganvas.sweep.slurm_cluster import JobState
from ganvas.sweep.slurm_driver import look
from ganvas.sweep.slurm_settings import SLURM, SlurmSettings
from ganvas.sweep.slurm_task import sign_file
from ganvas.tracking.files import write_json

SLURMED = ["hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]
TINY = [
    "trainer=cpu",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "test=false",
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


def only_sweep(runs: Path) -> Path:
    [file] = runs.glob("sweeps/*/sweep.json")
    return file.parent


def train(*overrides: str, runs: Path) -> int:
    return main(["train", "-m", *SLURMED, *TINY, *overrides, f"paths.runs_dir={runs}"])


def test_an_array_of_cells(cluster: Path, tmp_path: Path) -> None:
    """The script asks for what was typed, and each of its tasks trains its cell."""
    asked = [
        "partition=gpu",
        "timeout_min=90",
        "mem_gb=3.5",
        "array_parallelism=1",
        "setup=['echo ready >> $FAKE_SLURM/ready.txt']",
        "report=false",
    ]
    code = train(
        *(f"hydra.launcher.{one}" for one in asked),
        "+hydra.launcher.additional.constraint=a100",
        "trainer.max_steps=2",
        "optimizer.lr=0.001,1e18",
        runs=tmp_path / "runs",
    )
    assert code == 1  # one cell diverges
    [script] = cluster.glob("script-*.sh")
    told = fake_slurm.options(script.read_text())
    wanted = {
        "array": "0-1%1",
        "partition": "gpu",
        "time": "90",
        "mem": "3584MB",
        "constraint": "a100",
        "cpus-per-task": "1",
        "nodes": "1",
        "ntasks-per-node": "1",
        "signal": "USR2@120",
        "requeue": "",
    }
    assert {key: told.get(key) for key in wanted} == wanted
    assert (cluster / "ready.txt").read_text() == "ready\n" * 2
    sweep = only_sweep(tmp_path / "runs")
    good, bad = json.loads((sweep / "sweep.json").read_text())["cells"]
    assert (good["state"], bad["state"]) == ("done", "failed")
    assert "nan" in bad["reason"]
    assert [c["attempts"][0]["job"] for c in (good, bad)] == ["1234_0", "1234_1"]
    assert [c["attempts"][0]["exit_code"] for c in (good, bad)] == [0, 1]
    record = json.loads((sweep / good["run"] / "run.json").read_text())
    assert (record["status"], record["hardware"]["torch_threads"]) == ("finished", 1)
    resume = ["sweep", "resume", str(sweep)]
    assert main(resume) == 2  # a shell would run what stands in a file
    again = ["setup=[]", "additional={constraint: a100}"]
    assert main([*resume, *again]) == 1  # the failed one was not asked for
    assert len(list(cluster.glob("script-*.sh"))) == 1


def test_no_cluster(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert train("seed=0", runs=tmp_path / "runs") == 2
    assert "sbatch, srun, sacct not found on PATH" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"retries": 1, "wait": False}, "wait=true"),
        ({"executor": "local", "nodes": 2}, "this machine only"),
        ({"partitoin": "gpu"}, "did you mean `partition`"),
        ({"timeout_min": 0}, "timeout_min"),
        ({"setup": "module load cuda"}, "setup"),
    ],
)
def test_values_are_checked(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        validate(SlurmSettings, values, prefix="hydra.launcher")


@pytest.mark.parametrize(
    ("values", "trainer", "told"),
    [
        ({}, {"num_nodes": 2}, "nodes: must equal trainer.num_nodes=2, got 1"),
        ({"nodes": 2}, {"num_nodes": 2, "devices": 4}, "tasks_per_node: must be 4"),
        ({"tasks_per_node": 3}, {"devices": 2}, "tasks_per_node: must be 1 or 2"),
        ({"gpus_per_node": 1}, {"devices": 2}, "gpus_per_node: must be at least"),
        ({}, {"accelerator": "gpu"}, "gpus_per_node: trainer.accelerator=gpu needs GPUs"),
    ],
)
def test_cells_must_fit(
    values: dict[str, Any], trainer: dict[str, Any], told: str, cluster: Path
) -> None:
    del cluster
    asked = SimpleNamespace(**{"num_nodes": 1, "devices": 1, "accelerator": "auto"} | trainer)
    cell: Any = SimpleNamespace(settings=SimpleNamespace(trainer=asked))
    with pytest.raises(ConfigError, match=told):
        SlurmSettings(**values).check([cell])
    several = {"nodes": 2, "tasks_per_node": 2, "gpus_per_node": 2}
    fits = SimpleNamespace(num_nodes=2, devices=2, accelerator="gpu")
    SlurmSettings(**several).check([SimpleNamespace(settings=SimpleNamespace(trainer=fits))])  # type: ignore[list-item]


class Told:
    """A cluster that says one thing of every job."""

    def __init__(self, phase: Any, word: str) -> None:
        self.job = JobState(phase, word)

    def state(self, job_id: str, *, since: float) -> JobState:
        del job_id, since
        return self.job


RUNNING, WAITING = Told("running", "RUNNING"), Told("waiting", "PENDING")
MEMORY, CANCELLED = Told("over", "OUT_OF_MEMORY"), Told("over", "CANCELLED")
FAILED = Told("over", "FAILED")


@pytest.mark.parametrize(
    ("sign", "status", "cluster", "state", "over", "reason"),
    [
        (None, None, WAITING, "queued", False, "waits in the queue (job 7_0)"),
        (None, None, RUNNING, "queued", False, "waits in the queue (job 7_0)"),
        ({"exit_code": None}, "running", RUNNING, "running", False, None),
        ({"exit_code": 0}, "finished", RUNNING, "done", True, None),
        ({"exit_code": 1}, "failed", RUNNING, "failed", True, "why"),
        ({"exit_code": None}, "running", MEMORY, "interrupted", True, "job 7_0: OUT_OF_MEMORY"),
        ({"exit_code": None, "requeued": 1}, "interrupted", WAITING, "queued", False, "waits to"),
        ({"exit_code": 143}, "interrupted", WAITING, "queued", False, "waits in the queue"),
        ({"exit_code": 143}, "interrupted", CANCELLED, "interrupted", True, "why"),
        (None, None, CANCELLED, "interrupted", True, "did not begin: CANCELLED"),
        (None, None, FAILED, "failed", True, "did not begin: FAILED"),
        # A cell that is tried again: its run's record is still that of the attempt before.
        (None, "failed", WAITING, "queued", False, "waits in the queue (job 7_0)"),
    ],
)
def test_what_becomes_of_a_job(  # noqa: PLR0917
    sign: dict[str, Any] | None,
    status: str | None,
    cluster: Any,
    state: str,
    over: bool,
    reason: str | None,
    tmp_path: Path,
) -> None:
    attempt = Attempt(run="vae/run", started=now(), threads=1, job="7_0")
    cell = Cell(0, [], "", "vae", "", state="queued", attempts=[attempt])
    manifest = Manifest(tmp_path, {}, [cell])
    if sign is not None:
        sign_file(tmp_path, 0, 0).parent.mkdir()
        write_json(sign_file(tmp_path, 0, 0), sign)
    if status is not None:
        (tmp_path / "vae" / "run").mkdir(parents=True)
        why = None if status in ("finished", "running") else "why"
        record = {"format_version": 1, "id": "a", "status": status, "reason": why}
        record["finished"] = "9999"
        write_json(tmp_path / "vae" / "run" / "run.json", record)
    seen = look(manifest, cell, cluster)
    assert (seen.state, seen.over) == (state, over)
    assert seen.reason is None if reason is None else reason in str(seen.reason)


def test_a_sweep_goes_on_as_it_was_submitted() -> None:
    recorded = {"_target_": SLURM, **SlurmSettings(partition="gpu", retries=2).model_dump()}
    given = dict.fromkeys(SweepSettings.model_fields)
    given |= {"run": "DIR", "failed": False, "full_error": False, "trust": [], "retries": 5}
    settings = SweepSettings(**given).launcher(recorded)
    assert isinstance(settings, SlurmSettings)
    assert (settings.partition, settings.retries) == ("gpu", 5)
    with pytest.raises(ConfigError, match="n_jobs: this sweep runs on a cluster"):
        SweepSettings(**given | {"n_jobs": 3}).launcher(recorded)


def test_a_job_that_its_driver_did_not_live_to_note(tmp_path: Path) -> None:
    """Its own sign has its id; so it is waited for, and not submitted again."""
    cell = Cell(0, [], "", "vae", "", attempts=[Attempt(run="vae/run", started=now(), threads=1)])
    manifest = Manifest(tmp_path, {}, [cell])
    assert look(manifest, cell, RUNNING).state == "interrupted"  # type: ignore[arg-type]
    sign_file(tmp_path, 0, 0).parent.mkdir()
    write_json(sign_file(tmp_path, 0, 0), {"exit_code": None, "job": "7_0"})
    seen = look(manifest, cell, RUNNING)  # type: ignore[arg-type]
    assert (seen.state, seen.over, cell.attempts[0].job) == ("running", False, "7_0")
