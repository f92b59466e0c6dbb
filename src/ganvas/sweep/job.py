"""One cell in a process of its own: its config is frozen, and it ends when its driver dies."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from wandb.sdk.data_types._private import MEDIA_TMP

from ganvas.engine.check import check_plain
from ganvas.engine.checkpoint_files import newest_checkpoint
from ganvas.engine.notices import plain_notices
from ganvas.engine.train import EXIT_FAILED, EXIT_REFUSED, Outcome, train_checked
from ganvas.errors import GanvasError
from ganvas.tracking import read_run_json, redact_text, remember

GRACE_SECONDS = 30.0
"""What a job has to write its checkpoint in once its driver is dead."""


@dataclass(frozen=True)
class Job:
    """What a cell's process must know.

    Attributes:
        config: resolved and frozen.
        choices: of groups.
        trust: trusted modules.
        overrides: for the record.
        folder: of the run.
        resumed: whether the run is there, to be gone on with.
        log: gets all that the process prints.
        threads: of the CPU.
        environment: of the process, its GPUs included.
    """

    config: dict[str, Any]
    choices: dict[str, str]
    trust: tuple[str, ...]
    overrides: tuple[str, ...]
    folder: Path
    resumed: bool
    log: Path
    threads: int
    environment: dict[str, str]


def resumable(folder: Path) -> bool:
    """Whether a run can be gone on with: it has a record and a checkpoint that can be read."""
    try:
        read_run_json(folder)
        newest_checkpoint(folder)
    except GanvasError:
        return False
    return True


def train_job(job: Job) -> int:
    """Train the cell, or go on with it, in this process; its exit code."""
    torch.set_num_threads(job.threads)
    remember(job.config)
    try:
        with plain_notices():
            outcome = _train(job)
    except GanvasError as error:
        _say(str(error))
        return EXIT_REFUSED
    except Exception as error:
        _say(traceback.format_exc(), prefix="")
        _say(f"{type(error).__name__}: {error}")
        return EXIT_FAILED
    if outcome.reason:
        _say(outcome.reason)
    return outcome.exit_code


def _train(job: Job) -> Outcome:
    # Not the config in the run's folder, which lacks secrets.
    checked = check_plain(job.config, choices=job.choices, trust=job.trust)
    if job.resumed:
        return train_checked(checked, resume=job.folder)
    return train_checked(checked, overrides=job.overrides, folder=job.folder)


def run_job(job: Job, pipe: Connection) -> None:
    """The whole of a job's process, forked from the server; `pipe` gets its exit code."""
    os.setsid()
    os.environ.clear()
    os.environ.update(job.environment)
    _own_media_folder()
    sys.argv = ["ganvas", "train", *job.overrides]  # W&B shows the command line
    redirect(job.log)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    code = train_job(job)
    atexit._run_exitfuncs()  # W&B's service writes its last lines then; a fork would leave it out
    with suppress(OSError):
        pipe.send(code)
    sys.exit(code)


def _own_media_folder() -> None:
    """W&B makes a folder for pictures when it is imported, which was in the server.

    The first job to end would remove it, and the others would lose their trackers.
    """
    MEDIA_TMP._finalizer.detach()  # type: ignore[attr-defined]
    MEDIA_TMP.__init__("wandb-media")  # type: ignore[misc]


def redirect(log: Path) -> None:
    """Append to a log what this process prints; it reads nothing any more."""
    log.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)
    for stream in (1, 2):
        os.dup2(fd, stream)
    os.close(fd)
    sys.stdout, sys.stderr = _Clean(1), _Clean(2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


class _Clean(io.TextIOWrapper):
    """Text on a file descriptor, with secrets replaced."""

    def __init__(self, fd: int) -> None:
        raw = open(fd, "wb", buffering=0, closefd=False)  # noqa: SIM115
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", write_through=True)

    def write(self, text: str) -> int:
        """Writes at once."""
        super().write(redact_text(text))
        return len(text)


def _end_with_driver() -> None:
    """Asks this process to write its checkpoint and end, and sees to it."""
    driver = parent_process()
    assert driver is not None
    wait([driver.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _say(text: str, *, prefix: str = "ganvas: ") -> None:
    for line in redact_text(text).splitlines():
        sys.stderr.write(f"{prefix}{line}\n")
    sys.stderr.flush()
