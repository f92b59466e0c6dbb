"""Runs the cells of a sweep: so many at once, each in its own process, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, final

from ganvas.engine.signals import received
from ganvas.errors import GanvasError, RunError
from ganvas.sweep.cells import thawed
from ganvas.sweep.job import Job, resumable
from ganvas.sweep.manifest import Attempt, Cell, Manifest, State, now
from ganvas.sweep.outcome import ended_as, last_words
from ganvas.sweep.server import JobProcess, start, wait_for_one
from ganvas.sweep.settings import LauncherSettings
from ganvas.sweep.slots import Slot, Slots, num_gpus
from ganvas.sweep.source import Reporter, Source
from ganvas.tracking.files import run_folder

LOGS = "logs"
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0
"""What a job that was told to stop has to write its checkpoint in."""
EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2
ONE_SIGNAL_SECONDS = 1.0
"""`timeout` and others signal a process and then its whole group: that is one signal."""
MAX_LOST_STARTS = 3
"""How often the server of jobs may be killed just as a job begins."""


@dataclass
class _Running:
    cell: Cell
    process: JobProcess
    slot: Slot
    began: float
    said: int
    """Bytes in the cell's log when it began."""
    stopped: str | None = None
    pruned: bool = False
    kill_at: float | None = None


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
        self._tries: Counter[int] = Counter()
        self._lost_starts = 0
        self._stopping: str | None = None
        self._signals_got: list[int] = []
        self._signalled_at = 0.0
        self._signals_obeyed = 0

    def run(self) -> int:
        """Run cells until there are none left; the sweep's exit code.

        0 where all were done, 1 where one was not, 130 or 143 after a signal.

        Raises:
            OSError: `sweep.json` can't be written; jobs were interrupted, with checkpoints.
            RunError: no process can be started; likewise.
        """
        with received(self._receive):
            try:
                while self._step():
                    pass
            except BaseException:
                self._end_all()
                raise
        if self._signals_got:
            return 128 + self._signals_got[0]
        states = {cell.state for cell in self.manifest.cells}
        return EXIT_OK if states <= {"done"} else EXIT_FAILED

    def _step(self) -> bool:
        """One round; whether there is more to do."""
        while not self._stopping and not self._signals_got and self._start_next():
            pass
        self._obey()
        if not self._running:
            return bool(self._again) and not self._stopping
        wait_for_one([job.process for job in self._running], seconds=POLL_SECONDS)
        self._obey()
        for job in list(self._running):
            if job.process.over():
                self._ended(job)
            else:
                self._watch(job)
        return True

    def _start_next(self) -> bool:
        """Start a cell, if there is one and room for it; whether the next one may be tried."""
        cell = self._again.popleft() if self._again else self.source.next()
        if cell is None:
            return False
        try:
            config, choices = self._configs.get(cell.index) or thawed(
                self.manifest, cell, trust=self.trust
            )
            threads = cell.attempts[0].threads if cell.attempts else None
            slot = self.slots.take(num_gpus(config), threads=threads)
        except GanvasError as error:
            self._close(cell, "failed", " ".join(str(error).split()))
            return True
        if slot is None:
            self._again.appendleft(cell)
            return False
        job = self._job(cell, slot, config, choices)
        cell.attempts.append(
            Attempt(
                run=job.folder.relative_to(self.manifest.folder).as_posix(),
                started=now(),
                threads=slot.threads,
                gpus=None if slot.gpus is None else list(slot.gpus),
            )
        )
        cell.state, cell.reason = "running", None
        self.manifest.save()
        self._begin(cell, job, slot)
        return True

    def _job(self, cell: Cell, slot: Slot, config: dict[str, Any], choices: dict[str, str]) -> Job:
        """Goes on with the cell's last run where it can, or else begins one of its own."""
        folder = self.manifest.folder / cell.run if cell.run else None
        resumed = folder is not None and resumable(folder)
        if folder is None or not resumed:
            folder = run_folder(self.manifest.folder, cell.name)
        return Job(
            config=config,
            choices=choices,
            trust=self.trust,
            overrides=tuple(cell.overrides),
            folder=folder,
            resumed=resumed,
            log=self.log(cell),
            threads=slot.threads,
            environment={**os.environ, **slot.environment()},
        )

    def _begin(self, cell: Cell, job: Job, slot: Slot) -> None:
        said = job.log.stat().st_size if job.log.is_file() else 0
        try:
            process = start(job)
        except (OSError, EOFError) as error:  # the server was killed in this moment
            self._lost_starts += 1
            self.slots.give(slot)
            cell.attempts[-1].finished = now()
            cell.state, cell.reason = "queued", "the server of jobs was killed as it began"
            if self._lost_starts > MAX_LOST_STARTS:
                raise RunError(f"no process can be started ({error})") from error
            self._again.append(cell)
            return
        self._lost_starts = 0
        self._tries[cell.index] += 1
        self._running.append(_Running(cell, process, slot, time.monotonic(), said))
        self.reporter.started(cell, resumed=job.resumed)

    def log(self, cell: Cell) -> Path:
        """What the processes of a cell print."""
        return self.manifest.folder / LOGS / f"{cell.index:04d}.log"

    def _watch(self, job: _Running) -> None:
        """Stop a job that takes too long or is not worth it, or that was told to and does not."""
        if job.kill_at is not None:
            if time.monotonic() > job.kill_at:
                job.process.kill()
            return
        limit = self.settings.time_limit
        if limit is not None and time.monotonic() - job.began > limit:
            self._stop(job, f"time limit of {limit:g} s")
        elif reason := self.source.prune(job.cell):
            job.pruned = True
            self._stop(job, reason)

    def _stop(self, job: _Running, reason: str, *, number: int = signal.SIGTERM) -> None:
        job.stopped = job.stopped or reason
        job.kill_at = job.kill_at or time.monotonic() + GRACE_SECONDS
        job.process.signal(number)

    def _ended(self, job: _Running) -> None:
        """Write down what became of a job, and try it again where that was asked for."""
        self._running.remove(job)
        code = job.process.exit_code()
        job.process.close()
        self.slots.give(job.slot)
        cell = job.cell
        cell.attempts[-1].exit_code, cell.attempts[-1].finished = code, now()
        cell.seconds += time.monotonic() - job.began
        words = last_words(self.log(cell), since=job.said)
        state, reason = ended_as(
            self.manifest, cell, code, stopped=job.stopped, pruned=job.pruned, words=words
        )
        tries_left = self.settings.retries + 1 - self._tries[cell.index]
        over = job.stopped or self._stopping or code == EXIT_REFUSED or tries_left <= 0
        if state == "done" or over:
            self._close(cell, state, reason)
            return
        cell.state, cell.reason = "queued", reason
        self._again.append(cell)
        self.manifest.save()
        self.reporter.ended(cell)

    def _close(self, cell: Cell, state: State, reason: str | None) -> None:
        """The cell is not tried again."""
        cell.state, cell.reason = state, reason
        self.source.ended(cell)
        if state == "failed" and self.settings.fail_fast:
            self._stop_all(f"cell {cell.index} failed")
        self.manifest.save()
        self.reporter.ended(cell)

    def _stop_all(self, reason: str, *, number: int = signal.SIGTERM) -> None:
        self._stopping = self._stopping or reason
        for job in list(self._running):
            self._stop(job, reason, number=number)

    def _end_all(self) -> None:
        """Nothing can be written down any more: let the jobs write their checkpoints, and end."""
        self._stop_all("the sweep's driver failed")
        end = time.monotonic() + GRACE_SECONDS
        while self._running and time.monotonic() < end:
            wait_for_one([job.process for job in self._running], seconds=POLL_SECONDS)
            self._obey()
            self._running = [job for job in self._running if not _closed(job.process)]
        for job in self._running:
            job.process.kill()

    def _obey(self) -> None:
        """The first signal is passed on to the jobs, a second one kills them."""
        got = self._signals_got[self._signals_obeyed :]
        if got and not self._signals_obeyed:
            self._stop_all(f"signal {got[0]}", number=got[0])
        if got and len(self._signals_got) > 1:
            for job in self._running:
                job.process.kill()
        self._signals_obeyed += len(got)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Write a signal down; `_obey` acts, never in between."""
        del frame
        if not self._signals_got:
            self._signalled_at = time.monotonic()
        elif time.monotonic() < self._signalled_at + ONE_SIGNAL_SECONDS:
            return
        self._signals_got.append(number)


def _closed(process: JobProcess) -> bool:
    if over := process.over():
        process.close()
    return over
