"""One process per run folder: an advisory lock that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import final
from weakref import WeakSet

from ganvas.errors import RunError

LOCK_FILE = ".lock"

_PAUSES = (0.001, 0.01, 0.05)  # seconds

_held: WeakSet[RunLock] = WeakSet()


@final
class RunLock:
    """Holds `.lock` in a run folder until released, or until this process ends in any way.

    The file stays behind (removing it would let two processes lock two files of one name). A
    forked child closes its copy, so that a worker that outlives a killed run does not keep it.

    Args:
        folder: the run folder.

    Raises:
        RunError: another process holds the lock, or the file system has none.
        OSError: the folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW  # a link would empty another file
        self._fd = os.open(folder / LOCK_FILE, flags, 0o644)
        try:
            _take(self._fd)
        except BlockingIOError:
            pid = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            self._close()
            raise RunError(
                f"{folder} is in use by process {pid}; wait for it to end, or stop it, "
                "or start a new run"
            ) from None
        except OSError as error:
            self._close()
            raise RunError(
                f"{folder}: its file system has no locks ({error.strerror}), and nothing would "
                "keep a second process out; choose a paths.runs_dir on another one"
            ) from error
        except BaseException:
            self._close()
            raise
        with contextlib.suppress(OSError):  # a full disk: held all the same, by an unknown process
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        _held.add(self)

    def release(self) -> None:
        """Lets the next process in; a second call does nothing."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # closing it is enough
                os.ftruncate(self._fd, 0)
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _take(fd: int) -> None:
    """The lock; `holder` has it for some microseconds whenever it asks, so ask more than once.

    Raises:
        BlockingIOError: another process keeps it.
    """
    for pause in _PAUSES:
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(pause)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(folder: Path | str) -> int | None:
    """The id of the process that holds a run folder, or None where it is free.

    A run whose status is "running" and which nobody holds was killed.
    """
    try:
        fd = os.open(Path(folder) / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        return int(pid) if pid.isdigit() else 0
    except OSError:  # a file system without locks, on which no run is trained
        return None
    finally:
        os.close(fd)
    return None


def _forget_in_child() -> None:
    for lock in list(_held):
        lock._close()


os.register_at_fork(after_in_child=_forget_in_child)
