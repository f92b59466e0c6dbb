from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvas.errors import ConfigError
from ganvas.protocols import Recorder
from ganvas.tracking import (
    Hub,
    NullTracker,
    RunRecord,
    TensorBoardTracker,
    Tracker,
    WandbTracker,
    metrics_frame,
    read_run_json,
)

IMAGE = np.full((4, 4, 3), 128, dtype=np.uint8)


class Spy:
    """A tracker that notes its calls and raises in the one named by `fails`."""

    def __init__(self, fails: str = "", error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fails = fails
        self.error = error or RuntimeError("server gone\nlong story")

    def _note(self, name: str, value: Any) -> None:
        self.calls.append((name, value))
        if name == self.fails:
            raise self.error

    def start(self, run_dir: Path, **named: Any) -> None:
        self._note("start", named)

    def log_metrics(self, values: Any, **named: Any) -> None:
        self._note("log_metrics", (dict(values), named))

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        self._note("log_images", name)

    def save_checkpoint(self, path: Path) -> None:
        self._note("save_checkpoint", path)

    def note(self, facts: Any) -> None:
        self._note("note", dict(facts))

    def summary(self, best: Any) -> None:
        self._note("summary", dict(best))

    def info(self) -> dict[str, Any] | None:
        return {"id": "spy"}

    def finish(self, exit_code: int = 0) -> None:
        self._note("finish", exit_code)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[RunRecord]:
    made = RunRecord.create(tmp_path, "hub", config={}, overrides=[], command="c", seed=0)
    yield made
    made.close()


def test_all_trackers_keep_the_protocol() -> None:
    for tracker in (NullTracker(), TensorBoardTracker(), WandbTracker()):
        assert isinstance(tracker, Tracker)


def test_everything_reaches_record_and_trackers(record: RunRecord) -> None:
    spy = Spy()
    hub = Hub(record, [spy, NullTracker()], higher_is_better={"elbo": True})
    recorder: Recorder = hub
    hub.start(config={"a": {"api_key": "x", "b": 1}}, tags=["t"])
    recorder.log_metrics({"val/elbo": -1.0, "val/n": 2.0}, step=1, images_seen=8, seconds=0.5)
    recorder.log_metrics({"val/elbo": -3.0, "train/elbo": 9.0}, step=2, images_seen=16, seconds=1)
    recorder.log_trace([1, 2], {"loss": [1.0, 2.0]})
    recorder.log_images("samples", IMAGE, step=2)
    hub.finish("finished", checkpoint=Path("best.ckpt"))
    assert spy.calls[0][1]["config"] == {"a": {"api_key": "***", "b": 1}}
    assert spy.calls[0][1]["run_id"] == record.path.name
    assert [name for name, _ in spy.calls] == [
        *("start", "log_metrics", "log_metrics", "log_images"),
        *("summary", "save_checkpoint", "finish"),
    ]
    assert ("summary", {"val/elbo": -1.0}) in spy.calls
    content = read_run_json(record.path)
    assert content["wandb"] == {"id": "spy"} and content["status"] == "finished"
    assert content["metrics"]["val/elbo"]["final"] == {"value": -3.0, "step": 2}
    assert content["metrics"]["val/elbo"]["best"] == {"value": -1.0, "step": 1}
    assert "best" not in content["metrics"]["val/n"] and "train/elbo" not in content["metrics"]
    assert metrics_frame(record.path).loc[2, "train/elbo"] == 9.0
    assert (record.path / "trace.csv").exists() and list((record.path / "samples").iterdir())


def test_collapses_are_kept_as_they_are_now_and_the_last_is_shown(record: RunRecord) -> None:
    spy = Spy()
    hub = Hub(record, [spy, NullTracker()])
    hub.log_collapses([])
    assert read_run_json(record.path)["collapses"] == []
    one = {"step": 7, "rule": "diversity", "reason": "too alike", "value": 0.01}
    two = {"step": 9, "rule": "metric", "reason": "rebound", "value": 8.0}
    hub.log_collapses([one])
    hub.log_collapses([one, two])
    assert read_run_json(record.path)["collapses"] == [one, two]
    hub.log_collapses([one])  # as after a return to an earlier checkpoint
    assert read_run_json(record.path)["collapses"] == [one]
    shown = [facts for name, facts in spy.calls if name == "note"]
    first = {"collapse/step": 7, "collapse/reason": "too alike"}
    assert shown == [first, {"collapse/step": 9, "collapse/reason": "rebound"}, first]


@pytest.mark.parametrize("fails", ["start", "log_metrics", "log_images", "note", "summary"])
def test_a_failing_tracker_is_dropped_with_one_warning(
    record: RunRecord, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    bad, good = Spy(fails), Spy()
    hub = Hub(record, [bad, good])
    with caplog.at_level(logging.WARNING):
        hub.start(config={})
        for step in (1, 2):
            hub.log_metrics({"train/a": 1.0}, step=step, images_seen=step, seconds=step)
            hub.log_images("x", IMAGE, step=step)
            hub.log_collapses([{"step": step, "reason": "r", "rule": "diversity", "value": 0.0}])
        hub.finish("finished")
    assert len(caplog.records) == 1 and "server gone)" in caplog.text
    assert len([c for c in bad.calls if c[0] == fails]) == 1
    assert len(good.calls) == 9
    assert list(metrics_frame(record.path).index) == [1, 2]
    assert read_run_json(record.path)["status"] == "finished"


def test_a_users_mistake_in_a_tracker_rises(record: RunRecord) -> None:
    hub = Hub(record, [Spy("start", ConfigError("no account"))])
    with pytest.raises(ConfigError, match="no account"):
        hub.start(config={})


def test_errors_of_the_record_rise(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record, "log_metrics", full)
    with pytest.raises(OSError, match="No space"):
        Hub(record, [spy]).log_metrics({"a": 1.0}, step=1, images_seen=1, seconds=1)
    assert spy.calls == []
