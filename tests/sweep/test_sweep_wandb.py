"""A sweep in W&B: a group of runs, one for each cell, told apart, complete and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from engine.engine_helpers import Said, ganvas
from ganvas.sweep.manifest import Manifest
from ganvas.tracking import read_run_json
from tracking.fake_wandb import fake_server, without_account
from tracking.wandb_reader import OfflineRun, read_wandb

KEY = "0123456789abcdef0123456789abcdef01234567"
TINY = (
    "trainer=cpu",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.max_steps=2",
    "trainer.log_every_n_steps=1",
    "hydra.launcher.n_jobs=2",
    "hydra.launcher.report=false",
)

STOPPING = """
import os, signal
from pytorch_lightning import Callback


class Stop(Callback):
    def on_train_batch_end(self, trainer, model, *_):
        if model.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No account and no server, for all tests of this file."""
    place = tmp_path_factory.mktemp("account")
    with pytest.MonkeyPatch.context() as patch, without_account(place, patch):
        yield


def sweep(folder: Path, *overrides: str) -> Said:
    return ganvas("train", "-m", *TINY, f"hydra.sweep.dir={folder}", *overrides)


@pytest.fixture(scope="module")
def swept(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cells, offline, where an API key is around; for reading only."""
    folder = tmp_path_factory.mktemp("sweeps") / "beta of two"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        said = sweep(
            folder,
            "model=vae,conv_vae",
            "loss.beta=1,4",
            "seed=0,1,2",
            "logger.mode=offline",
            "tags=[mine]",
            f"+notes=key {KEY}",
        )
    assert said.code == 0, said.err + said.out
    return folder


def segments(folder: Path) -> list[OfflineRun]:
    """What W&B's files under a folder hold, oldest first."""
    files = sorted(folder.rglob("offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_mtime_ns)
    return [read_wandb(file) for file in files]


@pytest.mark.slow
def test_each_cell_is_a_run_of_its_own_in_the_sweeps_group(swept: Path) -> None:
    cells = Manifest.load(swept).cells
    found = {run.run_id: run for run in segments(swept)}
    assert len(cells) == 12 and len(segments(swept)) == 12
    assert set(found) == {Path(str(cell.run)).name for cell in cells}
    for cell in cells:
        run = found[Path(str(cell.run)).name]
        assert (run.group, run.name, run.job_type) == ("beta of two", cell.label, "train")
        assert (run.project, run.exit_code) == ("ganvas", 0)
        assert "mine" in run.tags
    assert len({run.name for run in found.values()}) == 12


@pytest.mark.slow
def test_the_config_in_wandb_is_whole_plain_and_resolved(swept: Path) -> None:
    for run in segments(swept):
        (folder,) = swept.rglob(run.run_id)
        recorded = yaml.safe_load((folder / "config.yaml").read_text())
        shown = {key: value for key, value in run.config.items() if key != "_wandb"}
        assert shown == recorded
        assert "${" not in json.dumps(shown)
        beta, seed = shown["loss"]["beta"], shown["seed"]
        assert f"loss.beta={beta} seed={seed}" in run.name


@pytest.mark.slow
def test_the_figures_are_each_cells_own(swept: Path) -> None:
    finals = set()
    for run in segments(swept):
        (folder,) = swept.rglob(run.run_id)
        for name in ("val/elbo", "test/elbo"):
            final = read_run_json(folder)["metrics"][name]["final"]
            assert run.values(name)[-1] == (final["step"], final["value"])
            finals.add(final["value"])
        assert [step for step, _ in run.values("train/loss")] == [1, 2]
    assert len(finals) == 24


def test_the_pictures_of_all_cells_are_kept(quiet: None, tmp_path: Path) -> None:
    """Of those, too, that begin or go on after another cell has ended."""
    folder = tmp_path / "pictures"
    cells = ("seed=0,1,2", "logger.mode=offline", "hydra.launcher.n_jobs=1")
    kept = [part for part in TINY if part != "callbacks.images=null"]
    said = ganvas("train", "-m", *kept, f"hydra.sweep.dir={folder}", *cells)
    assert said.code == 0, said.err + said.out
    for log in sorted((folder / "logs").iterdir()):
        assert "left out" not in log.read_text(), log.read_text()
    runs = segments(folder)
    assert len(runs) == 3
    counts = [
        len(list(folder.rglob(f"offline-run-*-{run.run_id}/files/media/**/*.png"))) for run in runs
    ]
    assert counts[0] > 0 and len(set(counts)) == 1


@pytest.mark.slow
def test_no_key_is_written_down(swept: Path) -> None:
    files = [path for path in swept.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_cell_that_is_resumed_goes_on_under_its_id(
    quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal that stops a job, by a time limit too, cuts no file."""
    (tmp_path / "users_stop.py").write_text(STOPPING)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "sweep"
    said = sweep(
        folder,
        "seed=0,1",
        "trainer.max_steps=5",
        "logger.group=ours",
        "+callbacks.stop._target_=users_stop.Stop",
        "trust=[users_stop]",
    )
    assert said.code == 1, said.err + said.out
    assert [cell.state for cell in Manifest.load(folder).cells] == ["interrupted"] * 2
    assert [run.exit_code for run in segments(folder)] == [143, 143]
    said = ganvas("sweep", "resume", str(folder), "trust=[users_stop]")
    assert said.code == 0, said.err + said.out
    for cell in Manifest.load(folder).cells:
        run = folder / str(cell.run)
        first, second = segments(run)
        assert first.run_id == second.run_id == run.name
        assert first.group == second.group == "ours"
        assert first.name == second.name == cell.label
        assert first.config["seed"] == second.config["seed"] == cell.index
        recorded = yaml.safe_load((run / "config.yaml").read_text())
        assert {k: v for k, v in first.config.items() if k != "_wandb"} == recorded
        assert (first.exit_code, second.exit_code) == (143, 0)
        steps = [[step for step, _ in one.values("train/loss")] for one in (first, second)]
        assert steps == [[1, 2, 3], [4, 5]]


def test_a_cell_that_fails_leaves_a_whole_file(quiet: None, tmp_path: Path) -> None:
    said = sweep(tmp_path / "sweep", "optimizer.lr=1e30,1e-3", "trainer.max_steps=30")
    assert said.code == 1
    runs = {run.name: run for run in segments(tmp_path / "sweep")}
    states = {cell.label: cell.state for cell in Manifest.load(tmp_path / "sweep").cells}
    assert sorted(states.values()) == ["done", "failed"]
    assert {name: run.exit_code for name, run in runs.items()} == {
        name: {"done": 0, "failed": 1}[state] for name, state in states.items()
    }


def test_cells_at_once_online(quiet: None, tmp_path: Path) -> None:
    with fake_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_BASE_URL", server.url)
        patch.setenv("WANDB_API_KEY", KEY)
        said = sweep(tmp_path / "sweep", "seed=0,1")
        assert said.code == 0, said.err + said.out
        begun = [query for query in server.variables("UpsertBucket") if query.get("displayName")]
    cells = Manifest.load(tmp_path / "sweep").cells
    assert {query["name"]: query["displayName"] for query in begun} == {
        Path(str(cell.run)).name: cell.label for cell in cells
    }
    assert {query["groupName"] for query in begun} == {"sweep"}
    for cell in cells:
        shown = read_run_json(tmp_path / "sweep" / str(cell.run))["wandb"]
        assert shown["mode"] == "online" and shown["id"] == Path(str(cell.run)).name


def test_a_sweep_under_an_agent_is_refused(
    quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its cells would be one run."""
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    said = sweep(tmp_path / "sweep", "seed=0,1")
    assert said.code == 2 and "agent" in said.message
    assert not (tmp_path / "sweep").exists()
