"""Submits the cells of a sweep to a cluster and waits for them; its death ends no job."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import final

from ganvas.engine.signals import received
from ganvas.errors import RunError
from ganvas.sweep.job import resumable
from ganvas.sweep.manifest import Attempt, Cell, Manifest, State, now
from ganvas.sweep.outcome import ended_as, last_words
from ganvas.sweep.slurm_cluster import Cluster, cluster_of
from ganvas.sweep.slurm_settings import SlurmSettings
from ganvas.sweep.slurm_task import FOLDER, Task, read_sign, sign_file
from ganvas.sweep.source import Reporter
from ganvas.sweep.voice import Voice, say
from ganvas.tracking.files import run_folder

EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2
POLL_SECONDS = {"slurm": 2.0, "local": 0.2}


@dataclass(frozen=True)
class Seen:
    """What is known of a cell's job.

    Attributes:
        state: of the cell.
        reason: one line, where it is not simply done or running.
        over: the job has ended, and is not requeued.
        code: its exit code, where it said one.
    """

    state: State
    reason: str | None
    over: bool
    code: int | None = None


def look(manifest: Manifest, cell: Cell, cluster: Cluster) -> Seen:
    """What became of a cell's last job: by its own signs, else by the cluster's word."""
    attempt, number = cell.attempts[-1], len(cell.attempts) - 1
    sign = read_sign(manifest.folder, cell.index, number)
    attempt.run = sign.get("run") or attempt.run
    attempt.job = attempt.job or sign.get("job")  # its driver was killed before it knew the id
    code = sign.get("exit_code")
    if code is not None and code < 128:  # noqa: PLR2004  (by a signal: it may be requeued)
        return _over(manifest, cell, code)
    if attempt.job is None:
        return Seen("interrupted", "its driver was killed as it was submitted", over=True)
    since = datetime.fromisoformat(attempt.started).timestamp()
    if sign:
        since = sign_file(manifest.folder, cell.index, number).stat().st_mtime
    job = cluster.state(attempt.job, since=since)
    told = f"job {attempt.job}"
    if job.phase != "over":
        requeued = bool(sign.get("requeued")) and job.phase == "waiting"
        waits = job.phase == "waiting" or not sign
        how = f"waits to go on ({told})" if requeued else f"waits in the queue ({told})"
        return Seen("queued" if waits else "running", how if waits else None, over=False)
    sign = read_sign(manifest.folder, cell.index, number)  # it may have ended since the first look
    if sign.get("exit_code") is not None:
        return _over(manifest, cell, sign["exit_code"])
    if sign:
        seen = _over(manifest, cell, None)
        return seen if seen.state == "done" else Seen(seen.state, f"{told}: {job.word}", over=True)
    words = last_words(manifest.folder / FOLDER / f"{attempt.job}_0_log.err")
    state: State = "interrupted" if job.word == "CANCELLED" else "failed"
    return Seen(state, f"{told} did not begin: {words or job.word}", over=True)


def _over(manifest: Manifest, cell: Cell, code: int | None) -> Seen:
    words = last_words(manifest.folder / "logs" / f"{cell.index:04d}.log")
    state, reason = ended_as(manifest, cell, code, stopped=None, pruned=False, words=words)
    return Seen(state, reason, over=True, code=code)


def refresh(manifest: Manifest) -> list[Cell]:
    """Puts what is known of a cluster's jobs into a manifest that nobody rewrites.

    Returns:
        The cells whose jobs are not over.
    """
    cluster = cluster_of(manifest)
    if cluster is None:
        return []
    return [
        cell for cell in manifest.cells if _submitted(cell) and not _note(manifest, cell, cluster)
    ]


def on_cluster(
    manifest: Manifest, settings: SlurmSettings, *, cells: Sequence[Cell], trust: tuple[str, ...]
) -> ClusterDriver:
    """A driver that tells a person how it goes."""
    voice = Voice(manifest)
    driver = ClusterDriver(manifest, settings, cells=cells, reporter=voice, trust=trust)
    if number := len(driver.fresh):
        voice.begins(number, at_once=min(settings.array_parallelism, number))
    return driver


def _submitted(cell: Cell) -> bool:
    return (
        cell.state in ("queued", "running")
        and bool(cell.attempts)
        and (cell.attempts[-1].finished is None)
    )


def _note(manifest: Manifest, cell: Cell, cluster: Cluster) -> bool:
    """Write down what is known of a cell's job; whether it is over."""
    seen = look(manifest, cell, cluster)
    cell.state, cell.reason = seen.state, seen.reason
    if seen.over:
        attempt = cell.attempts[-1]
        attempt.exit_code, attempt.finished = seen.code, now()
        sign = read_sign(manifest.folder, cell.index, len(cell.attempts) - 1)
        cell.seconds += float(sign.get("seconds") or 0.0)
    return seen.over


@final
class ClusterDriver:
    """Submits cells as an array, and watches until all their jobs are over.

    Args:
        manifest: of the sweep, held by this process.
        settings: of the launcher.
        cells: to be run; those whose job is still under way are watched.
        trust: trusted modules.
        reporter: who tells how it goes.
    """

    def __init__(
        self,
        manifest: Manifest,
        settings: SlurmSettings,
        *,
        cells: Sequence[Cell],
        reporter: Reporter,
        trust: tuple[str, ...] = (),
    ) -> None:
        self.manifest, self.settings, self.reporter = manifest, settings, reporter
        self.cluster, self.trust = Cluster(manifest.folder, settings), trust
        watched = [cell for cell in manifest.cells if _submitted(cell)]
        self.fresh = [cell for cell in cells if cell not in watched]
        self._out = [cell for cell in watched if not self._noted(cell)]
        self._begun = {c.index for c in self._out if c.state == "running"}
        self._resumed: dict[int, bool] = {}
        self._tries: Counter[int] = Counter()
        self._signal: int | None = None

    def run(self) -> int:
        """Submit, and wait if that was asked for; the exit code.

        0 where all were done (or submitted), 1 where one was not, 130 or 143 after a signal, which
        ends no job.

        Raises:
            RunError: the cluster refused the jobs.
            OSError: `sweep.json` can't be written.
        """
        if self._out:
            many = "1 job" if len(self._out) == 1 else f"{len(self._out)} jobs"
            say(f"{many} of this sweep under way")
        if self.fresh:
            self._submit(self.fresh)
        if not self.settings.wait:
            return EXIT_OK
        with received(self._receive):
            while self._out and self._signal is None:
                self._step()
                time.sleep(POLL_SECONDS[self.settings.executor])
        if self._signal is not None:
            say("the jobs go on; `ganvas sweep resume` waits for them again, scancel ends them")
            return 128 + self._signal
        done = all(cell.state == "done" for cell in self.manifest.cells)
        return EXIT_OK if done else EXIT_FAILED

    def _noted(self, cell: Cell) -> bool:
        return _note(self.manifest, cell, self.cluster)

    def _submit(self, cells: Sequence[Cell]) -> None:
        """One array for all of them; what is to run is written down before it can begin."""
        resumed = {cell.index: self._prepare(cell) for cell in cells}
        self.manifest.save()
        folder = str(self.manifest.folder)
        tasks = [Task(folder, c.index, len(c.attempts) - 1, self.trust) for c in cells]
        try:
            ids = self.cluster.submit(tasks)
        except RunError:
            for cell in cells:
                cell.attempts.pop()
            self.manifest.save()
            raise
        for cell, job in zip(cells, ids, strict=True):
            cell.attempts[-1].job = job
            cell.reason = f"waits in the queue (job {job})"
            self._tries[cell.index] += 1
            self._resumed[cell.index] = resumed[cell.index]
        self.manifest.save()
        self._out.extend(cells)
        jobs = ids[0] if len(ids) == 1 else f"{ids[0]} … {ids[-1]}"
        say(f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} submitted: job {jobs}")

    def _prepare(self, cell: Cell) -> bool:
        """A new attempt, in the cell's last run where it can be gone on with."""
        folder = self.manifest.folder / cell.run if cell.run else None
        resumed = folder is not None and resumable(folder)
        if folder is None or not resumed:
            folder = run_folder(self.manifest.folder, cell.name)
        threads = cell.attempts[0].threads if cell.attempts else self.settings.cpus_per_task
        run = folder.relative_to(self.manifest.folder).as_posix()
        cell.attempts.append(Attempt(run=run, started=now(), threads=threads))
        cell.state, cell.reason = "queued", None
        return resumed

    def _step(self) -> None:
        """Look at all jobs once, and submit again what is to be tried again."""
        before = [(cell.state, cell.reason) for cell in self._out]
        over = [cell for cell in self._out if self._noted(cell)]
        for cell in self._out:
            if cell.state == "running" and cell.index not in self._begun:
                self._begun.add(cell.index)
                self.reporter.started(cell, resumed=self._resumed.get(cell.index, False))
        if [(cell.state, cell.reason) for cell in self._out] != before:
            self.manifest.save()
        again = [cell for cell in over if self._tried_again(cell)]
        self._out = [cell for cell in self._out if cell not in over]
        for cell in over:
            cell.state = "queued" if cell in again else cell.state
            self._begun.discard(cell.index)
            self.reporter.ended(cell)
        if again:
            self._submit(again)

    def _tried_again(self, cell: Cell) -> bool:
        refused = cell.attempts[-1].exit_code == EXIT_REFUSED
        tries_left = self.settings.retries + 1 - self._tries[cell.index]
        return cell.state != "done" and not refused and tries_left > 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """A signal ends the waiting."""
        del frame
        self._signal = number
