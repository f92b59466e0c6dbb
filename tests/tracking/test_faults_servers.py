"""W&B's server dies while a run is shown: the end comes in time, and sync finds what is missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_wandb import fake_server, without_account
from wandb_reader import read_wandb

from ganvas.tracking import RunRecord, WandbTracker
from ganvas.tracking.syncing import OfflineRun, offline_runs, upload


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with without_account(tmp_path, monkeypatch):
        yield


@pytest.mark.parametrize("mode", ["none", "silent", "closes", "fails"])
def test_what_a_server_did_not_take_waits_for_sync(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunRecord.create(tmp_path, "toy", config={}, overrides=[], command="", seed=0)
    with fake_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        tracker = WandbTracker(finish_timeout=1.0)
        tracker.start(record.path, config={}, name="toy", run_id=record.tracker_id)
        tracker.log_metrics({"x": 1.0}, step=1, images_seen=1, seconds=1)
        if mode != "none":
            setattr(server, mode, True)
        tracker.log_metrics({"x": 2.0}, step=2, images_seen=2, seconds=2)
        begin = time.monotonic()
        tracker.finish()
        assert time.monotonic() - begin < 20  # a hanging server has 1 second
        record.close()
    waiting = offline_runs([tmp_path])
    if mode == "none":
        assert not waiting
        return
    (found,) = waiting
    (segment,) = found.waiting()
    assert found.state()[0] == "to upload"
    (file,) = segment.glob("*.wandb")
    assert read_wandb(file).values("x") == [(1, 1.0), (2, 2.0)]
    if mode == "fails":
        _sent_later(found, monkeypatch)


def _sent_later(run: OfflineRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's own command leaves out runs that were begun online, unless it is told not to."""
    with fake_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        state, said = upload(run, server=server.url)
        assert state == "uploaded", said
        [rows] = server.history.values()
    assert [row["x"] for row in rows] == [1.0, 2.0]
    assert run.state()[0] == "there already"
