"""A sweep's folder may come from anyone: going on with it runs and touches nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pretended import pretended
from searches import folder_of, planned, run_all, uncomposed

from ganvas.cli.main import main
from ganvas.errors import ConfigError, GanvasError, RunError
from ganvas.report.search import search_of
from ganvas.sweep import search_launch
from ganvas.sweep.cells import add_cells, plan, thawed
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.resume import add, resume
from ganvas.sweep.search import Search
from ganvas.sweep.search_launch import resume_search
from ganvas.sweep.settings import SweepSettings
from ganvas.sweep.slurm_settings import SLURM
from ganvas.sweep.slurm_task import read_sign, sign_file

__all__ = ["uncomposed"]
SETTINGS: dict[str, Any] = {
    **dict.fromkeys(["n_jobs", "retries", "fail_fast", "time_limit", "report", "trials"]),
    "run": "DIR",
    "failed": False,
    "full_error": False,
    "trust": [],
    "setup": None,
    "additional": None,
}
EVIL = "import pathlib\npathlib.Path('ran').touch()\nclass Net: pass\n"
BASE = ["trainer=cpu", "trainer.max_steps=2", "logger=none"]


def settings(**values: Any) -> SweepSettings:
    return SweepSettings(**{**SETTINGS, **values})


def change(manifest: Manifest, **fields: Any) -> Path:
    file = manifest.folder / "sweep.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return manifest.folder


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's config group that trusts a module in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(EVIL)
    place = tmp_path / "sweep" / "conf" / "experiment"
    place.mkdir(parents=True)
    (place / "x.yaml").write_text(
        "# @package _global_\ntrust: [evil]\nnetwork:\n  encoder: {_target_: evil.Net}\n"
    )
    return place.parent


def test_no_code_is_taken_from_a_sweep_that_is_added_to(conf: Path, tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    for overrides in (["experiment=x"], ["trust=[evil]", "network.encoder._target_=evil.Net"]):
        change(manifest, overrides=[*BASE, *overrides], search=[str(conf)])
        with pytest.raises(GanvasError, match="no trusted module"):
            add(manifest.folder, ["seed=1"])
    assert not (tmp_path / "ran").exists()


def test_no_code_is_taken_from_a_cell_with_a_secret(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-of-mine-0815")
    manifest = pretended(tmp_path / "sweep")
    job = [*BASE, "tags=['${oc.env:MY_TOKEN}']"]
    [cell], _ = add_cells(manifest, plan([job], data=False))
    manifest.content["search"], cell.overrides = [str(conf)], [*job, "experiment=x"]
    with pytest.raises(RunError, match="lacks a secret"):
        thawed(manifest, cell)
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("conf")
def test_no_code_is_taken_from_a_search(tmp_path: Path) -> None:
    asked = planned("loss.beta=interval(1,2)", *BASE, num_trials=1)
    stored = asked.record() | {"fixed": ["trust=[evil]", "network.encoder._target_=evil.Net"]}
    manifest = folder_of(tmp_path / "sweep", asked)
    change(manifest, study=stored, launcher={})
    resume(manifest.folder, ["report=false"])
    assert not (tmp_path / "ran").exists()
    assert Manifest.load(manifest.folder).cells == []
    found = search_of(manifest.folder)
    assert found is not None
    assert "no trusted module" in found["trials"][0]["reason"]


def test_what_a_shell_runs_is_given_again() -> None:
    recorded = {"_target_": SLURM, "executor": "local", "setup": ["touch 'ran'"]}
    with pytest.raises(ConfigError, match=r"its word; where it is your own, add ") as caught:
        settings().launcher(recorded)
    assert "touch" in str(caught.value)
    again = settings(setup=["module load cuda"]).launcher(recorded)
    assert again.model_dump()["setup"] == ["module load cuda"]
    assert settings(setup=[]).launcher(recorded).model_dump()["setup"] == []
    with pytest.raises(ConfigError, match=r"additional: the shell"):
        settings().launcher({"_target_": SLURM, "additional": {"output": "/home/me/.bashrc"}})
    with pytest.raises(ConfigError, match="an option of sbatch is one line"):
        settings().launcher({"_target_": SLURM, "partition": "a\ntouch ran"})
    with pytest.raises(ConfigError, match="setup: this sweep runs on this machine"):
        settings(setup=["x"]).launcher({})


@pytest.mark.parametrize(
    "fields",
    [
        {"launcher": {"_target_": "os.system"}},
        {"launcher": {"n_jobs": "many"}},
        {"launcher": {"executor": "local", "nodes": "x"}},
        {"search": "/"},
        {"trust": [1]},
        {"cells": [{"index": 0}]},
    ],
)
def test_a_file_that_says_nonsense(fields: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    folder = change(pretended(tmp_path / "sweep", "finish"), **fields)
    assert main(["sweep", "resume", str(folder)]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert "Error (" not in told


@pytest.mark.parametrize("place", ["logs/0000.log", "logs", "run", "study.log", ".lock", "cells"])
def test_links_out_of_the_folder(place: str, tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    there, link = tmp_path / "mine", manifest.folder / place
    there.write_text("precious")
    if link.is_dir():
        link.rename(tmp_path / "former")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(there)
    with pytest.raises(RunError, match="is a link out of the sweep's folder"):
        resume(manifest.folder, [])
    assert there.read_text() == "precious"


def test_a_sign_leads_nowhere_else(tmp_path: Path) -> None:
    file = sign_file(tmp_path, 0, 0)
    file.parent.mkdir()
    for run in ("../mine", "/mine", ["x"]):
        file.write_text(json.dumps({"run": run, "exit_code": 0}))
        assert read_sign(tmp_path, 0, 0) == {} or not isinstance(run, str)
    file.write_text(json.dumps({"run": "a/b", "exit_code": 0}))
    assert read_sign(tmp_path, 0, 0)["run"] == "a/b"


def journal(place: Path) -> str:
    return str(place / "theirs.log")


def sqlite(place: Path) -> str:
    return f"sqlite:///{place}/theirs.db"


@pytest.mark.usefixtures("uncomposed")
@pytest.mark.parametrize("storage", [journal, sqlite])
def test_a_study_elsewhere_must_know_the_sweep(
    storage: Callable[[Path], str], tmp_path: Path
) -> None:
    asked = planned("x=interval(-4,4)", "n=1,2", "tag=b", num_trials=3, storage=storage(tmp_path))
    mine = folder_of(tmp_path / "mine", asked)
    run_all(Search(mine, asked, at_once=1), most=2)
    shown = search_of(mine.folder)
    assert shown is not None
    assert len(shown["trials"]) == 2
    theirs = folder_of(tmp_path / "theirs", asked)
    before = {file: file.read_bytes() for file in tmp_path.glob("their*") if file.is_file()}
    refused = search_of(theirs.folder)
    assert refused is not None
    assert refused["trials"] == []
    assert "no trial of the sweep theirs" in refused["reason"]
    with pytest.raises(RunError, match="no trial of the sweep theirs"):
        resume_search(theirs, settings(), cells=[], trust=())
    assert {file: file.read_bytes() for file in before} == before
    for file in before:
        file.unlink()
    with pytest.raises(RunError, match="study can't be read"):
        resume_search(mine, settings(), cells=[], trust=())
    assert not any(file.exists() for file in before)


def test_a_device_is_no_study(tmp_path: Path) -> None:
    asked = planned("x=interval(-4,4)", num_trials=3)
    manifest = folder_of(tmp_path / "s", asked)
    change(manifest, study=asked.record() | {"storage": "/dev/zero"})
    found = search_of(manifest.folder)
    assert found is not None
    assert "FileNotFoundError" in found["reason"]


def test_a_search_goes_on_with_modules_that_are_trusted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from pytorch_lightning import Callback\nclass Mine(Callback): pass\n"
    (tmp_path / "their_trusted.py").write_text(text)
    own = "+callbacks.mine={_target_: their_trusted.Mine}"
    asked = planned("loss.beta=interval(1,2)", *BASE, own, num_trials=1)
    manifest = folder_of(tmp_path / "sweep", asked)
    sources: list[Any] = []

    def run_cells(*_: Any, source: Callable[[int], Any], **more: Any) -> int:
        sources.append(source(1))
        return len(more["trust"])

    monkeypatch.setattr(search_launch, "run_cells", run_cells)
    assert resume_search(manifest, settings(), cells=[], trust=("their_trusted",)) == 1
    assert sources[0].next() is manifest.cells[0]
