"""Processes of jobs, forked from a server that has imported torch and Lightning already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any, final

from ganvas.sweep.job import Job, run_job

PRELOADED = ["ganvas.sweep.preload"]
_LOST = 255
"""What multiprocessing calls the exit code of a process whose server was killed."""
_GONE_SECONDS = 2.0


@final
class JobProcess:
    """A job's process, the leader of a group that holds all that it starts.

    The server tells of its end. Where that was killed, the job goes on, and a pipe tells instead:
    the job writes its exit code there, and the system closes it when the job is killed.

    Args:
        process: that was started.
        pipe: the end to read from.
    """

    def __init__(self, process: Any, pipe: connection.Connection) -> None:
        self._process, self._pipe = process, pipe
        self.pid = int(process.pid)

    def over(self) -> bool:
        """Whether it has ended."""
        code = self._process.exitcode
        return code is not None and (code != _LOST or self._pipe.poll())

    def exit_code(self) -> int | None:
        """Of an ended process, negative for a signal; None where nobody knows it."""
        code = int(self._process.exitcode)
        if code == _LOST:
            self._wait_until_gone()
            try:
                return int(self._pipe.recv())
            except (EOFError, OSError):
                return None
        return code

    def signal(self, number: int) -> None:
        """Sends a signal to the job, not to what it has started."""
        if not self.over():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the job and all that it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.signal(signal.SIGKILL)  # it leads no group in its first moment

    def close(self) -> None:
        """Ends what an ended job has left, and forgets it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._pipe.close()
        self._process.join()

    @property
    def waitable(self) -> Any:
        """Becomes ready when the process ends."""
        return self._pipe if self._process.exitcode == _LOST else self._process.sentinel

    def _wait_until_gone(self) -> None:
        """Its files (the lock of its run) are closed one after the other as it ends."""
        end = time.monotonic() + _GONE_SECONDS
        with suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.kill(self.pid, 0)
                time.sleep(0.01)


def start(job: Job) -> JobProcess:
    """A process that trains a cell; the first one waits for the server's imports.

    Raises:
        OSError: the server was killed at that moment; the next call starts another one.
        EOFError: likewise.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=run_job, args=(job, theirs), name=f"cell {job.folder.name}")
    try:
        with _no_main():
            process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return JobProcess(process, ours)


def wait_for_one(processes: Sequence[JobProcess], *, seconds: float) -> None:
    """Returns when one of them has ended, or after that long."""
    connection.wait([process.waitable for process in processes], timeout=seconds)


@contextmanager
def _no_main() -> Iterator[None]:
    """A job needs nothing of the script that started the sweep, and must not run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    former = os.environ.get("WANDB_ERROR_REPORTING")
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # read when the server imports W&B
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if former is None:
            del os.environ["WANDB_ERROR_REPORTING"]
        else:
            os.environ["WANDB_ERROR_REPORTING"] = former
