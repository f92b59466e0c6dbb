"""Signals outside of the training loop, where no callback looks for them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganvas.cli.main import main
from ganvas.engine.signals import SignalInbox, signal_inbox
from ganvas.errors import InterruptedRun
from ganvas.models.base import GenerativeModule
from ganvas.tracking import NullTracker, lock
from ganvas.tracking.record import RunRecord

TINY = (
    "trainer=cpu",
    "dataset=digits",
    "model=ae",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.max_steps=12",
)
KINDS = [signal.SIGINT, signal.SIGTERM]


def with_signal(number: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The real function, in the midst of which a signal comes."""

    def called(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), number)
        return real(*arguments, **named)

    return called


def train(runs: Path) -> tuple[int, Path, dict[str, Any]]:
    code = main(["train", *TINY, f"paths.runs_dir={runs}"])
    (file,) = runs.glob("*/*/run.json")
    return code, file.parent, json.loads(file.read_text())


def test_a_signal_waits_acts_or_is_forgotten() -> None:
    inbox = SignalInbox()
    with pytest.raises(InterruptedRun):
        inbox.receive(15, None)  # nobody looks in
    inbox.hold()
    inbox.receive(15, None)
    assert inbox.pending == 15
    with pytest.raises(InterruptedRun):
        inbox.receive(15, None)  # the second one
    with pytest.raises(InterruptedRun) as caught:
        inbox.act()
    assert caught.value.signal == 15
    inbox.hold()  # it has had its effect
    inbox.act()
    assert not isinstance(caught.value, Exception)  # no library takes it for a fault


def test_former_handlers_come_back() -> None:
    before = [signal.getsignal(kind) for kind in KINDS]
    with signal_inbox() as inbox:
        assert signal.getsignal(signal.SIGTERM) == inbox.receive
    assert [signal.getsignal(kind) for kind in KINDS] == before


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_test_at_the_end(
    kind: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint is there; a resumed run has only the test to do."""
    with monkeypatch.context() as patch:
        patch.setattr(GenerativeModule, "test_step", with_signal(kind, GenerativeModule.test_step))
        code, run, record = train(tmp_path)
    assert (code, record["status"]) == (128 + kind, "interrupted")
    assert lock.holder(run) is None
    assert main(["train", f"resume={run}"]) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "finished" and "test/loss" in record["metrics"]


def test_while_the_record_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the record is whole, which then says how the run ended."""
    real = RunRecord.create.__func__
    monkeypatch.setattr(RunRecord, "create", classmethod(with_signal(signal.SIGTERM, real)))
    code, run, record = train(tmp_path)
    assert (code, record["status"], record["reason"]) == (143, "interrupted", "signal 15")
    assert (run / "config.yaml").is_file() and not (run / "checkpoints").exists()


def test_while_trackers_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is trained, tested and recorded: the run is finished, its trackers are left."""
    finish = NullTracker.finish
    monkeypatch.setattr(NullTracker, "finish", with_signal(signal.SIGTERM, finish))
    code, run, record = train(tmp_path)
    assert (code, record["status"]) == (143, "finished")
    assert lock.holder(run) is None


def test_twice_while_the_record_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = with_signal(signal.SIGINT, with_signal(signal.SIGINT, RunRecord.create.__func__))
    monkeypatch.setattr(RunRecord, "create", classmethod(real))
    assert main(["train", *TINY, f"paths.runs_dir={tmp_path}"]) == 130
    assert capsys.readouterr().err.strip().endswith("interrupted")
