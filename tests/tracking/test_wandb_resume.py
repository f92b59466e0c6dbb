"""A resumed run is whole in W&B, under one id, whatever its files had when it was killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_wandb import fake_server, without_account
from wandb_reader import OfflineRun, read_as_it_is, read_wandb

from ganvas.tracking import RunRecord, WandbTracker
from ganvas.tracking.hub import Hub
from ganvas.tracking.syncing import offline_runs
from ganvas.tracking.wandb_account import UNSENT

KEY = "a" * 40
HEADER = 7  # bytes of a file that nothing was written to


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with without_account(tmp_path, monkeypatch):
        yield


def picture(step: int) -> np.ndarray:
    return np.full((4, 6, 3), step, dtype=np.uint8)


def new(place: Path) -> RunRecord:
    return RunRecord.create(place, "toy", config={"seed": 0}, overrides=[], command="", seed=0)


def session(record: RunRecord, *steps: int, mode: str = "offline") -> Path:
    """Train these steps and end; W&B's file."""
    before = set(files(record.path))
    hub = Hub(record, [WandbTracker(mode=mode)])  # type: ignore[arg-type]
    hub.start(config={"seed": 0})
    for step in steps:
        hub.log_metrics({"train/x": step / 10}, step=step, images_seen=step, seconds=step)
        hub.log_metrics({"val/x": step / 20}, step=step, images_seen=step, seconds=step)
        hub.log_images("samples", picture(step), step=step)
    hub.finish("interrupted")
    [file] = set(files(record.path)) - before
    assert read_wandb(file).exit_code == 0  # it is written now
    return file


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/*run-*/run-*.wandb"))


def told(folder: Path) -> tuple[set[str], list[tuple[int, str]]]:
    """Ids, and steps and names of all that all files show."""
    runs: list[OfflineRun] = [read_as_it_is(file) for file in files(folder)]
    names = ("train/x", "val/x", "samples")
    rows = [row for run in runs for row in run.history]
    found = [(row["step"], name) for row in rows for name in row if name in names]
    return {run.run_id for run in runs if run.run_id}, sorted(found)


def all_of(*steps: int) -> list[tuple[int, str]]:
    return sorted((step, name) for step in steps for name in ("train/x", "val/x", "samples"))


@pytest.mark.parametrize("kept", [HEADER, 0.6, 1.0], ids=["nothing", "a part", "all"])
def test_each_figure_is_shown_once(tmp_path: Path, kept: float) -> None:
    """The checkpoint is of step 3: 4 and 5 come again."""
    record = new(tmp_path)
    file = session(record, 1, 2, 3, 4, 5)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if kept <= 1 else int(kept)])
    lost = set(all_of(1, 2, 3, 4, 5)) - set(told(record.path)[1])
    assert bool(lost) == (kept != 1.0)
    again = RunRecord.open(record.path)
    again.truncate(3)
    second = session(again, 4, 5, 6)
    ids, shown = told(record.path)
    assert ids == {record.path.name}
    assert shown == all_of(1, 2, 3, 4, 5, 6)
    missing = {(row["step"], name) for row in read_wandb(second).history for name in row}
    assert lost <= missing


def test_a_renamed_run_keeps_its_id(tmp_path: Path) -> None:
    record = new(tmp_path)
    session(record, 1)
    moved = tmp_path / "moved"
    shutil.move(record.path, moved)
    session(RunRecord.open(moved), 2)
    ids, shown = told(moved)
    assert ids == {record.path.name}
    assert shown == all_of(1, 2)


def test_an_online_run_goes_on_where_the_server_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the first three steps, of which the record keeps two."""
    with fake_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        record = new(tmp_path)
        session(record, 1, 2, 3, mode="online")
        again = RunRecord.open(record.path)
        again.truncate(2)
        session(again, 3, 4, mode="online")
        [rows] = server.history.values()
    steps = [row["step"] for row in rows if "train/x" in row]
    assert steps == [1, 2, 3, 4]
    assert {call["name"] for call in server.variables("UpsertBucket")} == {record.path.name}


def test_what_a_server_did_not_take_comes_as_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own file has step 2, of which the server knows nothing; then nothing waits for sync."""
    with fake_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        record = new(tmp_path)
        file = session(record, 1, 2, 3, mode="online")
        [rows] = server.history.values()
        rows[:] = [row for row in rows if row["step"] == 1]
        (file.parent / UNSENT).touch()
        again = RunRecord.open(record.path)
        again.truncate(2)
        session(again, 3, 4, mode="online")
        for name in ("train/x", "val/x", "samples"):
            assert [row["step"] for row in rows if name in row] == [1, 2, 3, 4]
    assert not offline_runs([tmp_path])
