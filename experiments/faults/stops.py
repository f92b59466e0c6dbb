"""Signals and dead ranks: runs that are asked to end, at any moment, and those that must."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from driven import Drive, drive, processes_in
from sameness import differences
from trials import Trial

SIZE = (
    "trainer=cpu",
    "dataset=digits",
    "model=vae",
    "trainer.progress_bar=false",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint.every_n_steps=6",
    "trainer.max_steps=40",
    "callbacks.images={_target_:ganvas.callbacks.images.ImageGrids,num:4,every_n_epochs:1}",
)
QUICK = 10.0  # seconds within which a run must end that was told to


def size(*more: str) -> list[str]:
    """Of a tiny run, without W&B where no logger is named."""
    named = any(override.startswith("logger=") for override in more)
    return [*SIZE, *(() if named else ("logger=none",)), *more]


def trained(place: Path, *more: str, **variables: str) -> Path:
    """The folder of an undisturbed run."""
    started = drive(place, "train", *size(*more), **variables)
    assert started.code() == 0, started.printed()
    found = run_in(place)
    assert found is not None
    return found


def run_in(place: Path) -> Path | None:
    """The one run under a working folder, once it has a record."""
    found = list((place / "runs").glob("*/*/run.json"))
    return found[0].parent if found else None


def status_of(run: Path) -> str:
    """As its record has it."""
    return str(json.loads((run / "run.json").read_text(encoding="utf-8"))["status"])


def left_in(place: Path, *, seconds: float = 5.0) -> list[int]:
    """Processes that a command has left in its folder, some seconds after its end; killed then."""
    end = time.monotonic() + seconds
    while (found := processes_in(place)) and time.monotonic() < end:
        time.sleep(0.02)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def faults_of(started: Drive) -> list[str]:
    """What no end of a command may have: a traceback, or processes left behind."""
    faults = []
    if "Traceback" in (said := started.printed()):
        faults.append(f"a traceback: {said[-300:]}")
    if left := left_in(started.place):
        faults.append(f"processes {left} were left")
    return faults


def resumed(place: Path, run: Path, whole: Path, **variables: str) -> list[str]:
    """Resume a run; what it has otherwise than the undisturbed one."""
    again = drive(place, "train", f"resume={run}", **variables)
    if (code := again.code()) != 0:
        return [f"resume ended with {code}: {again.printed()[-300:]}"]
    found = [f for f in differences(run, whole) if f != "log.txt: left over"]  # of the fault
    return [*found, *faults_of(again)]


def signals(folder: Path, random: Random) -> Iterator[Trial]:
    """SIGINT or SIGTERM at a random moment between the start and the end of a run."""
    longer = "trainer.max_steps=240"
    whole = trained(folder / "whole", longer)
    began = time.monotonic()
    trained(folder / "timed", longer)
    length = time.monotonic() - began
    for number in range(24):
        kind = random.choice((signal.SIGINT, signal.SIGTERM))
        place, after = folder / f"signal-{number}", random.uniform(0.1, 1.0) * length
        started = drive(place, "train", *size(longer))
        time.sleep(after)
        started.kill(kind)
        subject = f"vae, {kind.name} after {after:.2f} s"
        yield _signalled(started, kind, subject=subject, whole=whole)


def _signalled(started: Drive, kind: signal.Signals, *, subject: str, whole: Path) -> Trial:
    """Wait for the end of a run that got a signal, and go on with it."""
    code = started.code()
    faults, run = faults_of(started), run_in(started.place)
    stopped = code in (128 + kind, -kind)
    result = "interrupted, resumed to the same bits"
    if run is None:
        result = "ended before there was a run"
    elif not stopped:
        result = "was over before"
    elif status_of(run) == "finished":
        result = "was trained and tested, and stayed finished"
    elif status_of(run) != "interrupted":
        faults.append(f"its status is {status_of(run)}")
    elif not (run / "checkpoints" / "last.ckpt").is_file():
        result = "interrupted before the first checkpoint"
    else:
        faults += resumed(started.place, run, whole)
    if code not in (0, 128 + kind, -kind):
        faults.append(f"its exit code is {code}")
    return Trial("signals", subject, bool(faults), "; ".join(faults) or result)


@dataclass(frozen=True)
class Signalled:
    """A hook: the process gets a signal where it reaches a point of `traps.POINTS`.

    Args:
        point: its name.
        number: how often it must be reached.
        kind: of the signal.
        twice: whether it comes a second time at once.
    """

    point: str
    number: int
    kind: int
    twice: bool = False

    def __call__(self) -> None:
        """Put the trap in its place."""
        from traps import POINTS

        left = self.number

        def reached() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                for _ in range(1 + self.twice):
                    os.kill(os.getpid(), self.kind)

        POINTS[self.point](reached)


def at_points(folder: Path, random: Random) -> Iterator[Trial]:
    """A signal within a step, a validation batch, a checkpoint's write or any change of a file."""
    whole = trained(folder / "whole")
    most = {"step": 39, "evaluation batch": 12, "write of a checkpoint": 7, "change of a file": 60}
    for point, last in most.items():
        for number in sorted(random.sample(range(1, last + 1), 4)):
            kind = random.choice((signal.SIGINT, signal.SIGTERM))
            twice = random.random() < 0.25
            place = folder / f"{point.replace(' ', '-')}-{number}"
            hook = Signalled(point, number, kind, twice=twice)
            started = drive(place, "train", *size(), hook=hook)
            words = f"vae, {kind.name}{' twice' if twice else ''} at {point} {number}"
            yield _signalled(started, kind, subject=words, whole=whole)


def other_commands(folder: Path, random: Random) -> Iterator[Trial]:
    """A signal while samples are drawn, or a run is evaluated: its record stays whole."""
    run = trained(folder / "whole")
    place = folder / "whole"
    before = json.loads((run / "run.json").read_text(encoding="utf-8"))
    commands = {
        "evaluate": ["evaluate", str(run), "metrics=[losses,samples]"],
        "sample": ["sample", str(run), "n=4096"],
    }
    for name, arguments in commands.items():
        for _ in range(3):
            kind = random.choice((signal.SIGINT, signal.SIGTERM))
            started = drive(place, *arguments)
            time.sleep(after := random.uniform(0.1, 1.2))
            started.kill(kind)
            code, faults = started.code(), faults_of(started)
            now = json.loads((run / "run.json").read_text(encoding="utf-8"))
            if {**now, "evaluations": []} != {**before, "evaluations": []}:
                faults.append("the record has changed")
            if code not in (0, 128 + kind, -kind):
                faults.append(f"its exit code is {code}: {started.printed()[-200:]}")
            result = "; ".join(faults) or "ended, the run is as it was"
            subject = f"{name}, {kind.name} after {after:.2f} s"
            yield Trial("signals", subject, bool(faults), result)


def dead_ranks(folder: Path, random: Random) -> Iterator[Trial]:
    """SIGKILL to one rank of two: the other one ends within seconds, and the run goes on later."""
    two = ("trainer=ddp", "trainer.accelerator=cpu", "callbacks.images=null")
    whole = trained(folder / "whole", *two)
    for number in range(6):
        rank, steps = number % 2, random.randrange(6, 30)
        place = folder / f"rank-{number}"
        started = drive(place, "train", *size(*two), hook=Paused(steps))
        pid = started.process.pid
        victim = started.until(partial(_rank, place, pid, rank))
        started.until((place / "paused").exists)
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        (place / "go").touch()
        code = started.code()
        seconds = time.monotonic() - began
        yield _after_death(started, code, rank=rank, steps=steps, seconds=seconds, whole=whole)


def _after_death(
    started: Drive, code: int, *, rank: int, steps: int, seconds: float, whole: Path
) -> Trial:
    faults, run = faults_of(started), run_in(started.place)
    assert run is not None
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    if seconds > QUICK:
        faults.append(f"the rest ended after {seconds:.0f} s only")
    if rank and (code != 1 or record["status"] != "failed" or "rank 1 was" not in record["reason"]):
        faults.append(f"exit code {code}, {record['status']}: {record['reason']}")
    faults += resumed(started.place, run, whole)
    result = "; ".join(faults) or "the rest ended within seconds, resumed to the same bits"
    return Trial("a rank killed", f"rank {rank} of 2, after {steps} steps", bool(faults), result)


@dataclass(frozen=True)
class Paused:
    """A hook: the process waits after so many steps, with a file `paused`, for a file `go`."""

    steps: int

    def __call__(self) -> None:
        """Put the trap in its place."""
        from ganvas.models.base import GenerativeModule

        advance, left = GenerativeModule.advance, self.steps

        def trap(module: GenerativeModule, *arguments: Any) -> None:
            nonlocal left
            advance(module, *arguments)
            left -= 1
            if left == 0:
                Path("paused").touch()
                while not Path("go").exists():
                    time.sleep(0.005)

        GenerativeModule.advance = trap  # type: ignore[method-assign]


def _rank(place: Path, parent: int, rank: int) -> int | None:
    """The process of rank 0, or of rank 1 once it is there."""
    if rank == 0:
        return parent
    for pid in processes_in(place):
        with suppress(OSError):
            if b"ganvas.engine.ranks" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None
