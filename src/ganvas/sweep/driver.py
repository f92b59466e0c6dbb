"""Runs the cells of a sweep: so many at once, each in its own process, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import Any, final

from ganvas.errors import RunError
from ganvas.sweep.job import Job, resumable
from ganvas.sweep.manifest import Attempt, Cell, Manifest, State, now
from ganvas.sweep.server import start
from ganvas.sweep.settings import LauncherSettings
from ganvas.sweep.slots import Slot, Slots
from ganvas.sweep.source import Reporter, Source
from ganvas.tracking import read_run_json
from ganvas.tracking.files import run_folder

LOGS = "logs"
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0
"""What a job that was told to stop has to write its checkpoint in."""
EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2
KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class _Running:
    cell: Cell
    process: ForkServerProcess
    slot: Slot
    began: float
    stopped: str | None = None
    pruned: bool = False
    kill_at: float | None = None

    @property
    def attempt(self) -> Attempt:
        return self.cell.attempts[-1]


@final
class Driver:
    """Starts jobs while there is room, waits for them, writes down what became of each.

    Args:
        manifest: of the sweep, held by this process.
        settings: of the launcher.
        slots: room on this machine.
        source: of cells.
        configs: by a cell's index, where they are known; the others are read from their files.
        trust: trusted modules.
        reporter: who tells how it goes.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: LauncherSettings,
        *,
        slots: Slots,
        source: Source,
        reporter: Reporter,
        configs: Mapping[int, tuple[dict[str, Any], dict[str, str]]] | None = None,
        trust: tuple[str, ...] = (),
    ) -> None:
        self.manifest, self.settings, self.slots = manifest, settings, slots
        self.source, self.reporter, self.trust = source, reporter, trust
        self._configs = dict(configs or {})
        self._running: list[_Running] = []
        self._again: deque[Cell] = deque()
        self._stopping: str | None = None
        self._signal: int | None = None

    def run(self) -> int:
        """Run cells until there are none left; the sweep's exit code.

        0 where all were done, 1 where one was not, 130 or 143 after a signal.

        Raises:
            OSError: `sweep.json` can't be written; jobs were interrupted, with checkpoints.
        """
        with self._signals():
            try:
                while self._step():
                    pass
            except BaseException:
                self._end_all()
                raise
        if self._signal is not None:
            return 128 + self._signal
        states = {cell.state for cell in self.manifest.cells}
        return EXIT_OK if states <= {"done"} else EXIT_FAILED

    def _step(self) -> bool:
        """One round; whether there is more to do."""
        while not self._stopping and self._start_next():
            pass
        if not self._running:
            return False
        wait([job.process.sentinel for job in self._running], timeout=POLL_SECONDS)
        for job in list(self._running):
            if job.process.exitcode is not None:
                self._ended(job)
            else:
                self._watch(job)
        return True

    def _start_next(self) -> bool:
        """Start a cell, if there is one and room for it."""
        cell = self._again.popleft() if self._again else self.source.next()
        if cell is None:
            return False
        config, choices = self._configs.get(cell.index) or self.manifest.frozen(cell)
        threads = cell.attempts[0].threads if cell.attempts else None
        slot = self.slots.take(_num_gpus(config), threads=threads)
        if slot is None:
            self._again.appendleft(cell)
            return False
        folder = self.manifest.folder / cell.run if cell.run else None
        resumed = folder is not None and resumable(folder)
        if folder is None or not resumed:
            folder = run_folder(self.manifest.folder, cell.name)
        cell.attempts.append(
            Attempt(
                run=folder.relative_to(self.manifest.folder).as_posix(),
                started=now(),
                threads=slot.threads,
                gpus=None if slot.gpus is None else list(slot.gpus),
            )
        )
        cell.state, cell.reason = "running", None
        self.manifest.save()
        job = Job(
            config=config,
            choices=choices,
            trust=self.trust,
            overrides=tuple(cell.overrides),
            folder=folder,
            log=self.log(cell),
            threads=slot.threads,
            environment={**os.environ, **slot.environment()},
        )
        self._running.append(_Running(cell, start(job), slot, time.monotonic()))
        self.reporter.started(cell, resumed=resumed)
        return True

    def log(self, cell: Cell) -> Path:
        """What the processes of a cell print."""
        return self.manifest.folder / LOGS / f"{cell.index:04d}.log"

    def _watch(self, job: _Running) -> None:
        """Stop a job that takes too long or is not worth it, or that was told to and does not."""
        if self._stopping and job.kill_at is None:  # it began as the signal came
            self._stop(job, self._stopping)
        if job.kill_at is not None:
            if time.monotonic() > job.kill_at:
                _kill_group(job)
            return
        limit = self.settings.time_limit
        if limit is not None and time.monotonic() - job.began > limit:
            self._stop(job, f"time limit of {limit:g} s")
        elif reason := self.source.prune(job.cell):
            job.pruned = True
            self._stop(job, reason)

    def _stop(self, job: _Running, reason: str | None, *, number: int = signal.SIGTERM) -> None:
        job.stopped = job.stopped or reason
        job.kill_at = job.kill_at or time.monotonic() + GRACE_SECONDS
        with suppress(ProcessLookupError):
            os.kill(job.process.pid or 0, number)

    def _ended(self, job: _Running) -> None:
        """Write down what became of a job, and try it again where that was asked for."""
        self._running.remove(job)
        _kill_group(job)
        job.process.join()
        self.slots.give(job.slot)
        cell, code = job.cell, job.process.exitcode
        job.attempt.exit_code, job.attempt.finished = code, now()
        cell.seconds += time.monotonic() - job.began
        cell.state, cell.reason = self._outcome(job, int(code or 0))
        refused = code == EXIT_REFUSED
        tries_left = self.settings.retries - len(cell.attempts) + 1
        if (cell.state != "done" and not job.stopped and not self._stopping) and (
            tries_left > 0 and not refused
        ):
            cell.state = "queued"
            self._again.append(cell)
        else:
            self.source.ended(cell)
            if cell.state == "failed" and self.settings.fail_fast:
                self._stop_all(f"cell {cell.index} failed")
        self.manifest.save()
        self.reporter.ended(cell)

    def _outcome(self, job: _Running, code: int) -> tuple[State, str | None]:
        cell = job.cell
        state, reason = self.manifest.outcome(cell)
        if state == "done":
            return state, reason
        if job.pruned:
            return "done", job.stopped
        if job.stopped:
            return "interrupted", job.stopped
        if code < 0:
            name = signal.Signals(-code).name
            hint = "; out of memory?" if -code == signal.SIGKILL else ""
            return "interrupted" if -code in KILLS else "failed", f"killed by {name}{hint}"
        if code in (EXIT_FAILED, EXIT_REFUSED) or state == "failed":
            return "failed", self._reason(cell)
        return "interrupted", reason or f"exit code {code}"

    def _reason(self, cell: Cell) -> str:
        """Why a cell failed: its record's word, else the last line it printed."""
        with suppress(RunError):
            record = read_run_json(self.manifest.folder / str(cell.run))
            if record.get("reason"):
                return str(record["reason"])
        with suppress(OSError):
            lines = self.log(cell).read_text(encoding="utf-8", errors="replace").splitlines()
            said = [line for line in lines if line.strip()]
            if said:
                return said[-1].removeprefix("ganvas: ").strip()
        return "it said nothing"

    def _stop_all(self, reason: str, *, number: int = signal.SIGTERM) -> None:
        self._stopping = reason
        for job in self._running:
            self._stop(job, reason, number=number)

    def _end_all(self) -> None:
        """Nothing can be written down any more: let the jobs write their checkpoints, and end."""
        self._stop_all("the sweep's driver failed")
        for job in self._running:
            job.process.join(GRACE_SECONDS)
            _kill_group(job)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal is passed on to the jobs, the second one kills them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def receive(number: int, frame: FrameType | None) -> None:
            del frame
            if self._signal is not None:
                for job in self._running:
                    _kill_group(job)
            self._signal = self._signal or number
            self._stop_all(f"signal {number}", number=number)

        handled = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, receive) for number in handled}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _kill_group(job: _Running) -> None:
    """End the job's process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(job.process.pid or 0, signal.SIGKILL)


def _num_gpus(config: Mapping[str, Any]) -> int:
    """GPUs that a cell's trainer takes."""
    import torch

    trainer = config["trainer"]
    if trainer["accelerator"] == "cpu" or not torch.cuda.is_available():
        return 0
    return int(trainer["devices"])
