"""Points of a run at which it is killed: the same ones each time, whatever the machine does."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pydoc import locate
from typing import Any

Reached = Callable[[], None]


@dataclass(frozen=True)
class Trap:
    """A hook: the process kills itself where it reaches a point for the n-th time.

    Args:
        point: a key of `POINTS`.
        number: n, from 1.
        group: whether all that the process has started dies with it.
    """

    point: str
    number: int
    group: bool = False

    def __call__(self) -> None:
        """Put the trap in its place."""
        left = self.number

        def reached() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(0 if self.group else os.getpid(), signal.SIGKILL)

        POINTS[self.point](reached)

    def __str__(self) -> str:
        return f"SIGKILL{' to the group' if self.group else ''} at {self.point} {self.number}"


@dataclass(frozen=True)
class FileTrap:
    """A hook: the process kills itself before it does something to a file for the n-th time.

    Args:
        event: of `sys.audit`, e.g. "os.rename".
        end: of the file's name; of a rename or link, of its new name.
        number: n, from 1.
    """

    event: str
    end: str
    number: int = 1

    def __call__(self) -> None:
        """Put the trap in its place."""
        left = self.number

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event == self.event and str(arguments[event != "open"]).endswith(self.end):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(audit)


@dataclass(frozen=True)
class CallTrap:
    """A hook: the process kills itself where a method is called.

    Args:
        method: dotted.
    """

    method: str

    def __call__(self) -> None:
        """Put the trap in its place."""
        owner, _, name = self.method.rpartition(".")

        def trap(*arguments: Any, **named: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(locate(owner), name, trap)


@dataclass(frozen=True)
class Counts:
    """A hook: how often each point is reached is in `FILE`, one byte for each time.

    Args:
        folder: has a file named after each point.
    """

    folder: Path

    def __call__(self) -> None:
        """Begin to count."""
        self.folder.mkdir()
        for point, put in POINTS.items():
            put(_counter(self.folder / point))

    def of(self, point: str) -> int:
        """How often the run has come to a point."""
        return (self.folder / point).stat().st_size


def _counter(file: Path) -> Reached:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reached() -> None:
        os.write(fd, b".")

    return reached


def _at_step(reached: Reached) -> None:
    """Inside a training step: the batch is counted, the step is not over."""
    from ganvas.models.base import GenerativeModule

    advance = GenerativeModule.advance

    def trap(self: GenerativeModule, *arguments: Any) -> None:
        advance(self, *arguments)
        reached()

    GenerativeModule.advance = trap  # type: ignore[method-assign]


def _at_evaluation(reached: Reached) -> None:
    """After a batch of validation, or of the test at the end."""
    from ganvas.models.base import GenerativeModule

    step = GenerativeModule.validation_step

    def trap(self: GenerativeModule, batch: Any, batch_idx: int) -> None:
        step(self, batch, batch_idx)
        reached()

    GenerativeModule.validation_step = trap  # type: ignore[method-assign]


def _at_write(reached: Reached) -> None:
    """Inside the write of a checkpoint: half of its bytes are there."""
    from ganvas.engine import checkpoint_files

    write = checkpoint_files._write

    def trap(checkpoint: dict[str, Any], file: Any) -> None:
        whole = io.BytesIO()
        write(checkpoint, whole)
        data = whole.getvalue()
        file.write(data[: len(data) // 2])
        file.flush()
        reached()
        file.write(data[len(data) // 2 :])

    checkpoint_files._write = trap


_CHANGES = ("os.mkdir", "os.rename", "os.link", "os.remove", "os.truncate", "open")


def _at_file(reached: Reached) -> None:
    """Before a file in a run's folder is opened to be written, renamed, linked or removed."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES or "/runs/" not in str(arguments[0]):
            return
        if event != "open" or (int(arguments[2]) & (os.O_WRONLY | os.O_RDWR)):
            reached()

    sys.addaudithook(audit)


POINTS: dict[str, Callable[[Reached], None]] = {
    "step": _at_step,
    "evaluation batch": _at_evaluation,
    "write of a checkpoint": _at_write,
    "change of a file": _at_file,
}
