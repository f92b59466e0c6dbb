"""Tiny sweeps in processes of their own, which tests may kill; all of one server of jobs."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch

from ganvas.cli.main import main
from ganvas.sweep.server import PRELOADED

PATIENCE = 100  # seconds until a test gives up; none of them waits for it when all is well
TINY = (
    "trainer=cpu",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint.every_n_steps=5",
    "trainer.max_steps=40",
    "test=false",
    "hydra.launcher.report=false",
)
Hook = Callable[[], None]


@dataclass
class Drive:
    """A process with a `ganvas` command of sweeps, the leader of its own group.

    Attributes:
        process: of it.
        place: its working folder, and that of its jobs.
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
            assert alive, f"it ended before: {self.out.read_text()}"
            time.sleep(0.005)
        raise AssertionError(f"it never came to that: {self.out.read_text()}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def code(self) -> int:
        """Its exit code, when it has ended and no job of it is left."""
        self.process.join(PATIENCE)
        assert not self.process.is_alive(), self.out.read_text()
        wait_for(lambda: not processes_in(self.place))
        return int(self.process.exitcode)


def drive(place: Path, *arguments: str, hook: Hook | None = None) -> Drive:
    """Start `ganvas ARGUMENTS` in `place`, forked from the server that forks jobs, too.

    Args:
        place: working folder.
        arguments: of the command.
        hook: called in the process first; a function of this module.
    """
    place.mkdir(exist_ok=True, parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    out = place / f"out-{time.monotonic_ns()}.txt"
    environment = {**os.environ, "GANVAS_RUNS_DIR": str(place / "runs")}
    started = context.Process(target=_drive, args=(arguments, place, out, environment, hook))
    try:
        started.start()
    except (EOFError, ConnectionRefusedError):  # a test before this one has left a dead server
        server = forkserver._forkserver  # type: ignore[attr-defined]
        server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
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
    os.setsid()
    os.environ.update(environment)
    os.chdir(place)
    torch.set_num_threads(1)
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    if hook is not None:
        hook()
    with out.open("w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        code = main(list(arguments))
    sys.exit(code)


def sweep_folder(place: Path) -> Path | None:
    """The one sweep under a working folder, once it has a manifest."""
    found = list(place.glob("runs/sweeps/*/sweep.json"))
    return found[0].parent if found else None


def cells(sweep: Path) -> list[dict[str, Any]]:
    """As `sweep.json` has them."""
    return list(json.loads((sweep / "sweep.json").read_text())["cells"])


def states(sweep: Path) -> list[str]:
    """Of its cells."""
    return [cell["state"] for cell in cells(sweep)]


def run_of(sweep: Path, index: int) -> Path:
    """Folder of a cell's last run."""
    return sweep / str(cells(sweep)[index]["run"])


def steps_of(sweep: Path, index: int) -> int:
    """How many steps a cell's run has written down."""
    with suppress(OSError, IndexError):
        return max(0, (run_of(sweep, index) / "trace.csv").read_text().count("\n") - 1)
    return 0


def weights(run: Path) -> dict[str, Any]:
    """Of the last checkpoint."""
    return dict(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])


def figures(run: Path) -> list[tuple[str, ...]]:
    """`metrics.csv` but for what measures time."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    keys = ("step", "images_seen", "name", "value")
    return [tuple(row[key] for key in keys) for row in rows if "per_second" not in row["name"]]


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file under a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def finished_trees(sweep: Path) -> dict[str, dict[str, str]]:
    """The files of every run that its record calls finished, by its folder."""
    records = {file.parent: json.loads(file.read_text()) for file in sweep.rglob("run.json")}
    done = [folder for folder, record in records.items() if record["status"] == "finished"]
    return {str(folder.relative_to(sweep)): tree(folder) for folder in done}


def processes_in(place: Path) -> list[int]:
    """Living processes whose working folder is that one (Linux; elsewhere none are seen)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cwd").resolve() == place.resolve() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], Any]) -> Any:
    """What the condition says, once it says something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it never came to that")


def killed_at_save(number: int) -> Hook:
    """A hook: the process is killed when `sweep.json` is written that often, before it stands."""
    return KilledAtSave(number)


@dataclass
class KilledAtSave:
    """See `killed_at_save`."""

    left: int

    def __call__(self) -> None:
        """Put the trap in its place."""
        from ganvas.tracking import files

        replace = Path.replace

        def trap(path: Path, target: Any) -> Path:
            if Path(target).name == "sweep.json":
                self.left -= 1
                if self.left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return replace(path, target)

        assert files.write_atomic
        Path.replace = trap  # type: ignore[method-assign,assignment]


@contextmanager
def server_of_jobs() -> Iterator[int]:
    """The id of this process' server of jobs."""
    forkserver.ensure_running()
    yield int(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]
