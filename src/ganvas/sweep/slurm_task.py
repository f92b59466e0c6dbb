"""One cell as a cluster's job: trains from its frozen config, and is requeued when time is up."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ganvas.engine.ranks import global_rank, join_srun
from ganvas.errors import GanvasError
from ganvas.sweep.cells import thawed
from ganvas.sweep.job import Job, redirect, resumable, train_job
from ganvas.sweep.manifest import Cell, Manifest, inside, now
from ganvas.tracking.files import run_folder, write_json

FOLDER = "slurm"
"""In a sweep's folder: scripts, pickles and logs of submitit, and the signs of jobs."""
WARNING = signal.SIGUSR2
"""What submitit asks SLURM to send before a job's time is up."""
EXIT_REFUSED, EXIT_TERMINATED = 2, 128 + signal.SIGTERM


def sign_file(sweep: Path, index: int, attempt: int) -> Path:
    """Where the job of a cell's attempt says how far it is, for those who watch it."""
    return sweep / FOLDER / f"{index:04d}-{attempt}.json"


def read_sign(sweep: Path, index: int, attempt: int) -> dict[str, Any]:
    """What the job of an attempt has said; empty where it has not begun."""
    try:
        content = json.loads(sign_file(sweep, index, attempt).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or not inside(str(content.get("run") or "run")):
        return {}  # somebody's, not ours
    return content


@dataclass(frozen=True)
class Task:
    """What is submitted; submitit calls it on a node, and `checkpoint` when it is requeued.

    Attributes:
        sweep: its folder, absolute.
        index: of the cell.
        attempt: of the cell, from 0.
        trust: trusted modules.
    """

    sweep: str
    index: int
    attempt: int
    trust: tuple[str, ...]

    def __call__(self) -> int:
        """Train the cell; the process ends with the run's exit code where that is not 0."""
        code = _Process(self).run()
        if code:
            sys.exit(code)
        return code

    def checkpoint(self) -> Any:
        """What runs when the job begins again: the same, which finds the run's checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Process:
    """A job's process while it runs.

    Args:
        task: that it does.
    """

    def __init__(self, task: Task) -> None:
        join_srun()
        self.task, self.folder = task, Path(task.sweep)
        self.first = global_rank() == 0
        self.began = time.monotonic()
        self.sign = read_sign(self.folder, task.index, task.attempt)
        self.spent = float(self.sign.get("seconds") or 0.0)
        self.time_is_up = False

    def run(self) -> int:
        """Train, say how it went, and be requeued where time was up; the exit code."""
        requeue = signal.getsignal(WARNING)
        signal.signal(WARNING, self._warned)
        signal.signal(signal.SIGTERM, _interrupt)
        self._say(exit_code=None, began=now(), host=socket.gethostname(), job=_job_id())
        try:
            code = self._train()
        except GanvasError as error:
            sys.stderr.write(f"ganvas: {error}\n")
            code = EXIT_REFUSED
        except SystemExit as stop:
            code = int(stop.code or 0)
        if self.time_is_up and code == EXIT_TERMINATED and callable(requeue):
            return self._requeued(requeue) if self.first else 0
        self._say(exit_code=code)
        return code

    def _train(self) -> int:
        manifest = Manifest.load(self.folder)
        cell = manifest.cells[self.task.index]
        if self.first:
            redirect(self.folder / "logs" / f"{cell.index:04d}.log")
        if len(cell.attempts) != self.task.attempt + 1:
            raise GanvasError("this job was given up; another one has taken its place")
        config, choices = thawed(manifest, cell, trust=self.task.trust)
        folder, resumed = self._run_folder(cell)
        self._say(run=folder.relative_to(self.folder).as_posix())
        job = Job(
            config=config,
            choices=choices,
            trust=self.task.trust,
            overrides=tuple(cell.overrides),
            folder=folder,
            resumed=resumed,
            log=self.folder / "logs" / f"{cell.index:04d}.log",
            threads=cell.attempts[-1].threads,
            environment={},
        )
        return train_job(job)

    def _run_folder(self, cell: Cell) -> tuple[Path, bool]:
        """The run that was begun, to go on with where it can be, or one that is not there yet."""
        folder = self.folder / str(self.sign.get("run") or cell.run)
        resumed = resumable(folder)
        if self.first and not resumed and folder.exists():  # killed before its first checkpoint
            folder = run_folder(self.folder, cell.name)
        return folder, resumed

    def _requeued(self, requeue: Callable[[int, FrameType | None], Any]) -> int:
        """Hand over to submitit, which ends this process; or, where it will not, the exit code."""
        self._say(exit_code=None, requeued=int(self.sign.get("requeued") or 0) + 1)
        try:
            requeue(WARNING, None)
        except Exception as error:
            sys.stderr.write(f"ganvas: time is up ({error})\n")
        self._say(exit_code=EXIT_TERMINATED)
        return EXIT_TERMINATED

    def _warned(self, number: int, frame: FrameType | None) -> None:
        """Time is up: end as on SIGTERM, between two batches and with a checkpoint."""
        del number, frame
        self.time_is_up = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _say(self, **fields: Any) -> None:
        if self.first:
            self.sign.update(fields, seconds=self.spent + time.monotonic() - self.began)
            write_json(sign_file(self.folder, self.task.index, self.task.attempt), self.sign)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Before and after training, which has its own way to end."""
    del frame
    raise SystemExit(128 + number)


def _job_id() -> str | None:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array:
        return f"{array}_{task}"
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("SUBMITIT_LOCAL_JOB_ID")
