"""A disk that takes no more: at the start, within a checkpoint, in the log, at the very end."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.cli.main import main
from ganvas.engine import checkpoint_files
from ganvas.errors import RunError
from ganvas.tracking import lock
from ganvas.tracking.files import remove_temporaries
from ganvas.tracking.record import RunRecord
from ganvas.tracking.runlog import RunLog

TINY = (
    "trainer=cpu",
    "dataset=digits",
    "model=ae",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.max_steps=20",
    "trainer.checkpoint.every_n_steps=8",
)


def no_room(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def after(number: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The real function, which finds no room the n-th time."""
    left = number

    def tried(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        return no_room() if left == 0 else real(*arguments, **named)

    return tried


def only_run(folder: Path) -> Path:
    (found,) = folder.glob("*/*/run.json")
    return found.parent


def weights(run: Path) -> dict[str, Any]:
    return dict(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])


def test_a_checkpoint_that_finds_no_room_stops_the_run_and_it_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *TINY, f"paths.runs_dir={tmp_path / 'whole'}"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "_write", after(2, checkpoint_files._write))
        assert main(["train", *TINY, f"paths.runs_dir={tmp_path / 'cut'}"]) == 1
    run, whole = only_run(tmp_path / "cut"), only_run(tmp_path / "whole")
    said = capsys.readouterr().err
    assert "the disk is full (No space left on device)" in said and f"resume={run}" in said
    assert "Traceback" not in said
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "failed" and "the disk is full" in record["reason"]
    assert not list(run.rglob("*.tmp"))
    (run / "checkpoints" / "last.ckpt.tmp").write_bytes(b"half")  # as of a killed process
    assert main(["train", f"resume={run}"]) == 0
    assert not list(run.rglob("*.tmp"))
    ours, theirs = weights(run), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (run / "trace.csv").read_bytes() == (whole / "trace.csv").read_bytes()


@pytest.mark.parametrize("number", [1, 2])
def test_a_start_that_finds_no_room_leaves_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RunRecord, "flush", after(number, RunRecord.flush))
    assert main(["train", *TINY, f"paths.runs_dir={tmp_path}"]) == 2
    assert "no run can be written there: the disk is full" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_end_that_finds_no_room_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(RunRecord, "end", no_room)
    assert main(["train", *TINY, "trainer.max_steps=2", f"paths.runs_dir={tmp_path}"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert lock.holder(only_run(tmp_path)) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_without_room_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.txt").symlink_to("/dev/full")
    log = RunLog(tmp_path)
    log.attach()
    logging.getLogger("ganvas").info("this goes nowhere")
    log.detach()
    assert capsys.readouterr() == ("", "")


def test_only_temporaries_of_the_runs_own_folders_go(tmp_path: Path) -> None:
    for name in ("checkpoints", "samples", "wandb"):
        (tmp_path / name).mkdir()
    names = [".run.json.7.tmp", "checkpoints/next.ckpt.tmp", "samples/.a.png.7.tmp"]
    for name in [*names, "run.json", "wandb/x.tmp"]:
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    left = sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file())
    assert left == ["run.json", "wandb/x.tmp"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(RunError, match="its file system has no locks"):
        lock.RunLock(tmp_path)
    assert lock.holder(tmp_path) is None
