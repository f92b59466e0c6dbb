"""`ganvas reproduce --checkout`: by the code of the recorded commit, in a repository of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reproducing import edit

from engine.engine_helpers import only_run
from ganvas.errors import InterruptedRun, RunError
from ganvas.proof.checkout import Commit, overrides_of, recorded_commit, worktree
from ganvas.tracking.files import read_run_json

TOP = Path(__file__).parents[2]


def test_what_is_of_one_call_is_not_typed_again() -> None:
    typed = [
        "model=vae", "trainer.max_steps=8", "logger=wandb", "logger.mode=offline", "trust=[mine]",
        "paths.data_dir=/x", "+tags=[a]", "~callbacks.images", "name=paths", "full_error=true",
    ]  # fmt: skip
    record = {"resumed": [{"overrides": ["trainer.max_steps=20", "logger.mode=online"]}]}
    assert overrides_of(record, typed) == [
        "model=vae", "trainer.max_steps=8", "+tags=[a]", "~callbacks.images", "name=paths",
        "trainer.max_steps=20",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("git", "diff", "message"),
    [
        (None, True, "recorded no commit"),
        ({"sha": "--upload-pack=x", "diff": None}, True, "recorded no commit"),
        ({"sha": "a" * 40, "diff": "../git.diff"}, True, "are not in its folder"),
        ({"sha": "a" * 40, "diff": "git.diff"}, False, "add diff=true to run them"),
    ],
)
def test_commits_that_are_not_checked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: object, diff: bool, message: str
) -> None:
    monkeypatch.setattr("ganvas.proof.checkout.own_checkout", lambda: TOP)
    (tmp_path / "run").mkdir()
    for place in (tmp_path, tmp_path / "run"):
        (place / "git.diff").write_text("")
    with pytest.raises(RunError, match=message):
        recorded_commit({"code": {"git": git}}, tmp_path / "run", diff=diff)
    monkeypatch.setattr("ganvas.proof.checkout.own_checkout", lambda: None)
    with pytest.raises(RunError, match="needs ganvas' git repository"):
        recorded_commit({"code": {"git": git}}, tmp_path / "run", diff=True)


def _git(where: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        cwd=where, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def _ganvas(repository: Path, *arguments: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ganvas", *arguments],
        env={**os.environ, "PYTHONPATH": str(repository / "src"), "OMP_NUM_THREADS": "1"},
        cwd=repository.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def _repository(place: Path) -> Path:
    """The present sources, committed to a repository of their own."""
    place.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(TOP / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all")):
        _git(place, *command)
    return place


def test_a_worktree_whose_making_was_interrupted_is_gone_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    monkeypatch.setattr("ganvas.proof.checkout.own_checkout", lambda: tmp_path)
    commit = Commit(git("rev-parse", "HEAD").strip(), None)
    with pytest.raises(InterruptedRun), worktree(commit) as tree:
        assert tree.is_dir()
        git("worktree", "lock", str(tree))  # as git leaves it when it is killed
        raise InterruptedRun(2)
    assert len(git("worktree", "list").splitlines()) == 1
    assert not tree.parent.exists()


@pytest.mark.slow
def test_the_recorded_commit_with_its_changes_gives_the_recorded_run(tmp_path: Path) -> None:
    repository = _repository(tmp_path / "repository")
    file = repository / "src" / "ganvas" / "losses" / "elbo.py"
    former = file.read_text()
    assert "beta * rate" in former
    file.write_text(former.replace("beta * rate", "beta * rate * 1.01"))  # not committed
    runs = f"paths.runs_dir={tmp_path / 'runs'}"
    _ganvas(
        repository, "train", "model=vae", "trainer=cpu", "trainer.max_steps=4", "logger=none", runs,
        code=0,
    )  # fmt: skip
    run = only_run(tmp_path / "runs")
    assert (run / "ganvas.diff").is_file()
    file.write_text(former.replace("beta * rate", "beta * rate * 1.5"))
    out = tmp_path / "plain"
    said = _ganvas(repository, "reproduce", str(run), f"out={out}", "tolerance=0", code=4)
    assert "code: other sources in losses" in said
    assert "--checkout runs the code of the recorded commit" in said
    out = tmp_path / "there"
    _ganvas(repository, "reproduce", str(run), "--checkout", f"out={out}", code=0)
    content = json.loads((out / "reproduction.json").read_text())
    assert content["verdict"] == "bitwise equal"
    assert {p["outcome"] for p in content["comparison"]} == {"equal"}
    assert read_run_json(out)["code"]["sources"] == read_run_json(run)["code"]["sources"]
    assert read_run_json(out)["reproduction_of"] == str(run)
    _ganvas(repository, "reproduce", str(run), "--checkout", "--steps", "2", code=0)
    edit(run, lambda record: record["code"]["git"].update(sha="1" * 40))
    _ganvas(repository, "reproduce", str(run), "--checkout", code=2)
    assert len(_git(repository, "worktree", "list").splitlines()) == 1
    assert file.read_text() == former.replace("beta * rate", "beta * rate * 1.5")
