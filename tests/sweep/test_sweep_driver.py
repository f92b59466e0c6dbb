"""What the driver makes of jobs that fail, crash, hang or are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pretended import driver_of, pretended
from sweeps import cells, processes_in, server_of_jobs, states, wait_for

from ganvas.errors import RunError
from ganvas.sweep import driver as module
from ganvas.sweep.driver import Driver
from ganvas.sweep.manifest import Manifest


def told(manifest: Manifest) -> list[tuple[str, str | None]]:
    """State and reason of each cell, as they stand on disk."""
    return [(cell["state"], cell["reason"]) for cell in cells(manifest.folder)]


def meanwhile(action: Callable[[], object]) -> threading.Thread:
    """Something that happens while the driver runs."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def pid_of(driver: Driver, index: int = 0) -> int:
    """Of a cell's process, once its run is there."""

    def found() -> int | None:
        for job in list(driver._running):
            run = driver.manifest.folder / str(job.cell.run) / ".lock"
            if job.cell.index == index and run.is_file() and run.read_text():
                return job.process.pid
        return None

    return int(wait_for(found))


def test_each_end_of_a_job_has_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pretended(tmp_path / "sweep", "finish", "fail", "refuse", "crash", "finish")
    driver, diary = driver_of(manifest, monkeypatch, n_jobs=2)
    assert driver.run() == 1
    assert told(manifest) == [
        ("done", None),
        ("failed", "ValueError: pretended"),
        ("failed", "the images are gone"),
        ("failed", "killed by SIGSEGV"),
        ("done", None),
    ]
    codes = [cell["attempts"][0]["exit_code"] for cell in cells(manifest.folder)]
    assert codes == [0, 1, 2, -signal.SIGSEGV, 0]
    assert sorted(diary.lines[:2]) == ["started 0", "started 1"]
    assert all(cell.seconds > 0 for cell in manifest.cells)


def test_retries_are_of_failures_and_kills_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "fail crash finish", "refuse finish", "fail", "finish")
    driver, _ = driver_of(manifest, monkeypatch, retries=2)
    assert driver.run() == 1
    assert states(manifest.folder) == ["done", "failed", "failed", "done"]
    assert [len(cell.attempts) for cell in manifest.cells] == [3, 1, 3, 1]
    runs = [attempt.run for cell in manifest.cells for attempt in cell.attempts]
    assert len({*runs}) == len(runs)


def test_retries_count_from_when_the_sweep_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "fail fail fail finish")
    assert driver_of(manifest, monkeypatch, retries=1)[0].run() == 1
    assert driver_of(manifest, monkeypatch, retries=1)[0].run() == 0
    assert len(manifest.cells[0].attempts) == 4


def test_fail_fast_interrupts_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pretended(tmp_path / "sweep", "wait", "fail", "finish")
    driver, _ = driver_of(manifest, monkeypatch, n_jobs=2, fail_fast=True)
    assert driver.run() == 1
    assert states(manifest.folder) == ["interrupted", "failed", "queued"]
    assert told(manifest)[0][1] == "cell 1 failed"


def test_a_time_limit_interrupts_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pretended(tmp_path / "long", "wait")
    driver, _ = driver_of(manifest, monkeypatch, time_limit=0.2, retries=3)
    assert driver.run() == 1
    assert told(manifest) == [("interrupted", "time limit of 0.2 s")]
    assert len(manifest.cells[0].attempts) == 1
    manifest = pretended(tmp_path / "short", "finish")
    driver, _ = driver_of(manifest, monkeypatch, time_limit=1000)
    assert driver.run() == 0
    assert told(manifest) == [("done", None)]


def test_a_job_that_hears_no_signal_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    manifest = pretended(tmp_path / "sweep", "stubborn")
    driver, _ = driver_of(manifest, monkeypatch, time_limit=1)
    assert driver.run() == 1
    assert told(manifest) == [("interrupted", "time limit of 1 s")]
    wait_for(lambda: not processes_in(manifest.folder))


def test_a_killed_job_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = pretended(tmp_path / "sweep", "wait finish", "finish")
    driver, _ = driver_of(manifest, monkeypatch, retries=1)
    killer = meanwhile(lambda: os.kill(pid_of(driver), signal.SIGKILL))
    assert driver.run() == 0
    killer.join()
    assert [attempt.exit_code for attempt in manifest.cells[0].attempts] == [-signal.SIGKILL, 0]


@pytest.mark.slow  # a second server imports everything again
def test_a_job_outlives_the_server_of_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is told by a pipe then, killed or not, and the next cell has a new server."""
    manifest = pretended(tmp_path / "sweep", "wait", "wait finish", "finish")
    driver, _ = driver_of(manifest, monkeypatch, n_jobs=2, retries=1)

    def kill() -> None:
        pids = pid_of(driver, 0), pid_of(driver, 1)
        with server_of_jobs() as server:
            os.kill(server, signal.SIGKILL)
        wait_for(lambda: all(job.process._process.exitcode == 255 for job in driver._running))
        os.kill(pids[1], signal.SIGKILL)
        wait_for(lambda: states(manifest.folder)[2] == "done")
        (manifest.folder / "let-go").touch()

    killer = meanwhile(kill)
    assert driver.run() == 0
    killer.join()
    assert [len(cell.attempts) for cell in manifest.cells] == [1, 2, 1]
    assert [cell.attempts[0].exit_code for cell in manifest.cells] == [0, None, 0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_the_sweep(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "wait", "finish")
    driver, _ = driver_of(manifest, monkeypatch)

    def interrupt() -> None:
        pid_of(driver)
        for _ in range(2):  # as `timeout` does it: to the process, and to its group
            os.kill(os.getpid(), number)

    sender = meanwhile(interrupt)
    former = signal.getsignal(number)
    assert driver.run() == 128 + number
    sender.join()
    assert signal.getsignal(number) is former
    assert told(manifest) == [("interrupted", f"signal {int(number)}"), ("queued", None)]


def test_a_second_signal_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ONE_SIGNAL_SECONDS", 0)
    manifest = pretended(tmp_path / "sweep", "stubborn", "finish")
    driver, _ = driver_of(manifest, monkeypatch)

    def interrupt() -> None:
        pid_of(driver)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: driver._signals_obeyed == 1)
        os.kill(os.getpid(), signal.SIGINT)

    sender = meanwhile(interrupt)
    assert driver.run() == 130
    sender.join()
    assert states(manifest.folder) == ["interrupted", "queued"]


def test_a_full_disk_ends_the_jobs_and_leaves_the_old_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "wait", "finish", "finish")
    driver, _ = driver_of(manifest, monkeypatch, n_jobs=2)
    save, calls = manifest.save, []

    def fails() -> None:
        calls.append(time.monotonic())
        if len(calls) == 3:  # the second cell is done
            wait_for((manifest.folder / str(manifest.cells[0].run) / "run.json").exists)
            raise OSError(28, "No space left on device")
        save()

    monkeypatch.setattr(manifest, "save", fails)
    with pytest.raises(OSError, match="No space left"):
        driver.run()
    assert states(manifest.folder) == ["running", "running", "queued"]
    again = Manifest.load(manifest.folder)
    from ganvas.sweep.outcome import settle

    settle(again)
    assert [(cell.state, cell.reason) for cell in again.cells] == [
        ("interrupted", "signal 15"),
        ("done", None),
        ("queued", None),
    ]


def test_two_drivers_never_run_one_sweep(tmp_path: Path) -> None:
    manifest = pretended(tmp_path / "sweep", "finish")
    with manifest.held(), manifest.held():
        other = Manifest.load(manifest.folder)
        with pytest.raises(RunError, match="in use by process"), other.held():
            raise AssertionError
    with other.held():
        pass


def test_a_cell_that_cannot_begin_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = pretended(tmp_path / "sweep", "finish", "finish", "finish")
    file = manifest.folder / "cells" / "0000.yaml"
    file.write_text(file.read_text().replace("finish", "crash"))
    (manifest.folder / "cells" / "0001.yaml").unlink()
    driver, _ = driver_of(manifest, monkeypatch)
    assert driver.run() == 1
    reasons = [reason for _, reason in told(manifest)]
    assert states(manifest.folder) == ["failed", "failed", "done"]
    assert "was changed" in str(reasons[0]) and "can't be read" in str(reasons[1])
