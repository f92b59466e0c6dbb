"""`ganvas` commands in processes of their own that may be killed, forked from one server.

The server has imported torch and Lightning, so that a process is there in a tenth of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from ganvas.sweep.server import PRELOADED

PATIENCE = 100.0  # seconds until a process is given up; none waits for it when all is well

Hook = Callable[[], None]
"""Called in a process before the command; an object that can be pickled."""


@dataclass
class Drive:
    """A process with a `ganvas` command, the leader of its own group.

    Attributes:
        process: of it.
        place: its working folder.
        out: file with all that it printed.
    """

    process: Any
    place: Path
    out: Path

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until something is so, while the process lives; what it is."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            alive = self.process.is_alive()
            if found := condition():
                return found
            assert alive, f"it ended before: {self.printed()}"
            time.sleep(0.005)
        raise AssertionError(f"it never came to that: {self.printed()}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def kill_group(self) -> None:
        """SIGKILL to it and to all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.kill()  # it leads no group in its first moment

    def code(self, patience: float = PATIENCE) -> int:
        """Its exit code, negative for a signal, once it has ended.

        Raises:
            AssertionError: it did not end in that time; it is killed.
        """
        self.process.join(patience)
        if self.process.is_alive():
            self.kill_group()
            self.process.join()
            raise AssertionError(f"it did not end in {patience} s: {self.printed()}")
        return int(self.process.exitcode)

    def printed(self) -> str:
        """All that it wrote to its output and error output."""
        return self.out.read_text(encoding="utf-8") if self.out.is_file() else ""


def drive(place: Path, *arguments: str, hook: Hook | None = None, **variables: str) -> Drive:
    """Start `ganvas ARGUMENTS` in `place`.

    Args:
        place: working folder; runs are made in its `runs`.
        arguments: of the command.
        hook: called in the process first.
        variables: of its environment, besides this process' own.
    """
    place.mkdir(exist_ok=True, parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    out = place / f"out-{time.monotonic_ns()}.txt"
    environment = {**os.environ, "GANVAS_RUNS_DIR": str(place / "runs"), **variables}
    started = context.Process(target=_drive, args=(arguments, place, out, environment, hook))
    started.start()
    return Drive(started, place, out)


def _drive(
    arguments: tuple[str, ...],
    place: Path,
    out: Path,
    environment: dict[str, str],
    hook: Hook | None,
) -> None:
    import torch

    from ganvas.cli.main import main

    os.setsid()
    os.environ.update(environment)
    os.chdir(place)
    torch.set_num_threads(1)
    settle()
    with out.open("w", buffering=1, encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)  # for all that it starts, and for what it leaves unwritten
        os.dup2(file.fileno(), 2)
        with redirect_stdout(file), redirect_stderr(file):
            if hook is not None:
                hook()
            code = main(list(arguments))
    sys.exit(code)


def settle() -> None:
    """Let this process, forked from the server, start others of the same server."""
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]


def serve(place: Path) -> None:
    """Start the server of this process, with one thread for each process and no accounts."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"
    os.environ.setdefault("GANVAS_CACHE_DIR", str(place / "cache"))
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def processes_in(place: Path) -> list[int]:
    """Living processes whose working folder is that one (Linux; elsewhere none are seen)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").resolve() == place.resolve() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def end(place: Path) -> None:
    """SIGKILL to all processes that work in a folder or under it."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            inside = (entry / "cwd").resolve().is_relative_to(place.resolve())
            if inside and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
