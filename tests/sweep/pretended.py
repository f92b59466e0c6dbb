"""Jobs that only pretend to train: real processes of the real server, which end as they are told.

What a job does stands in its config under `does`, as one word per attempt; the last one goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ganvas.sweep import server
from ganvas.sweep.driver import Driver
from ganvas.sweep.job import Job
from ganvas.sweep.manifest import Cell, Manifest, now
from ganvas.sweep.settings import LauncherSettings
from ganvas.sweep.slots import Slots
from ganvas.sweep.source import Listed
from ganvas.tracking import config_hash
from ganvas.tracking.lock import RunLock


def pretend(job: Job, pipe: Connection) -> None:
    """The target of a job's process."""
    os.setsid()
    folder = job.log.parents[1]
    attempts = folder / f"attempts-{job.log.stem}"
    done = len(attempts.read_text()) if attempts.is_file() else 0
    with attempts.open("a") as file:
        file.write("x")
    words = job.config["does"]
    job.log.parent.mkdir(exist_ok=True)
    acts[words[min(done, len(words) - 1)]](job)
    pipe.send(0)


def _record(job: Job, status: str, reason: str | None = None) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    record = {"format_version": 1, "id": "0" * 6, "status": status, "reason": reason}
    (job.folder / "run.json").write_text(json.dumps({**record, "finished": now()}))


def _say(job: Job, text: str) -> None:
    with job.log.open("a") as file:
        file.write(text)


def _finish(job: Job) -> None:
    _record(job, "finished")


def _fail(job: Job) -> None:
    _record(job, "failed", "ValueError: pretended")
    sys.exit(1)


def _refuse(job: Job) -> None:
    _say(job, "ganvas: the images\nganvas: are gone\n")
    sys.exit(2)


def _crash(job: Job) -> None:
    _record(job, "running")
    os.kill(os.getpid(), signal.SIGSEGV)


def _wait(job: Job) -> None:
    """Until a signal comes: then as training does it."""

    def end(number: int, frame: object) -> None:
        del frame
        _record(job, "interrupted", f"signal {number}")
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    _hold(job)


def _stubborn(job: Job) -> None:
    """Hears no signal, and has a child that hears none."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    command = [sys.executable, "-c", "import time; time.sleep(1000)"]
    subprocess.Popen(command, cwd=job.log.parents[1])
    _hold(job)


def _hold(job: Job) -> None:
    _record(job, "running")
    lock = RunLock(job.folder)
    while True:
        if (job.log.parents[1] / "let-go").exists():
            _record(job, "finished")
            lock.release()
            return
        time.sleep(0.01)


acts = {
    "finish": _finish,
    "fail": _fail,
    "refuse": _refuse,
    "crash": _crash,
    "wait": _wait,
    "stubborn": _stubborn,
}


class Diary:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, cell: Cell, *, resumed: bool) -> None:
        """See `source.Reporter`."""
        self.lines.append(f"{'resumed' if resumed else 'started'} {cell.index}")

    def ended(self, cell: Cell) -> None:
        """See `source.Reporter`."""
        self.lines.append(f"{cell.state} {cell.index}")


def pretended(folder: Path, *does: str) -> Manifest:
    """A sweep of such cells, saved; each text holds the words of one."""
    folder.mkdir(exist_ok=True)
    launcher = LauncherSettings().model_dump()
    manifest = Manifest.create(folder, command="", overrides=[], launcher=launcher)
    for index, words in enumerate(does):
        trainer = {"accelerator": "cpu", "devices": 1}
        config: dict[str, Any] = {"trainer": trainer, "does": words.split(), "index": index}
        cell = Cell(index, [f"index={index}"], f"index={index}", "run", config_hash(config))
        manifest.freeze(cell, config, {})
    manifest.save()
    return manifest


def driver_of(
    manifest: Manifest,
    patch: pytest.MonkeyPatch,
    *,
    cells: Sequence[Cell] | None = None,
    n_jobs: int = 1,
    **settings: Any,
) -> tuple[Driver, Diary]:
    """A driver in this process, whose jobs pretend."""
    patch.setattr(server, "run_job", pretend)
    diary = Diary()
    driver = Driver(
        manifest,
        LauncherSettings(n_jobs=n_jobs, **settings),
        slots=Slots(n_jobs, num_gpus=0, num_threads=n_jobs),
        source=Listed(manifest.cells if cells is None else cells),
        reporter=diary,
    )
    return driver, diary
