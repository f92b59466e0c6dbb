"""Runs that are killed at random moments, resumed, and compared with the undisturbed run."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from driven import Drive, drive, processes_in
from families import FAMILIES, RANKS, SIZE, WANDB
from sameness import differences
from shown import wandb_differences
from traps import POINTS, Counts, Trap
from trials import FaultClass, Trial

TRIALS = 20
AGAIN = 0.3
"""How often the resumed run is killed in its turn."""
MOST_KILLS = 4
GONE_SECONDS = 30.0
GOOD = "resumed: weights, optimisers, figures, trace and pictures are the undisturbed run's"
Compare = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed.

    Attributes:
        arguments: of its command.
        folder: of the run.
        seconds: from the start of its process to the end.
        counts: how often it came to each point.
    """

    arguments: tuple[str, ...]
    folder: Path
    seconds: float
    counts: dict[str, int]


@dataclass(frozen=True)
class Moment:
    """When a process is killed: at a point of its work, or after a time.

    Attributes:
        trap: that it runs into; None for a time.
        seconds: after its start.
        group: whether all that it has started dies with it.
    """

    trap: Trap | None
    seconds: float
    group: bool

    def __str__(self) -> str:
        if self.trap is not None:
            return str(self.trap)
        return f"SIGKILL{' to the group' if self.group else ''} after {self.seconds:.2f} s"


def undisturbed(place: Path, arguments: Sequence[str]) -> Undisturbed:
    """Train to the end, and count the points that the run comes to."""
    counts = Counts(place / "counts")
    place.mkdir(parents=True)
    began = time.monotonic()
    process = drive(place, "train", *arguments, hook=counts)
    code, seconds = process.code(), time.monotonic() - began
    assert code == 0, process.printed()
    [folder] = _runs(place)
    found = {point: counts.of(point) for point in POINTS}
    return Undisturbed(tuple(arguments), folder, seconds, found)


def _runs(place: Path) -> list[Path]:
    """Folders of runs, the oldest first."""
    return sorted(file.parent for file in place.glob("runs/*/*/run.json"))


def moment(whole: Undisturbed, random: Random, number: int) -> Moment:
    """One of the run's moments; each kind of point in its turn."""
    kind = (*POINTS, "time")[number % (len(POINTS) + 1)]
    group = random.random() < AGAIN
    if kind == "time":
        return Moment(None, random.random() * whole.seconds, group)
    return Moment(Trap(kind, random.randint(1, whole.counts[kind]), group), 0.0, group)


def killed(place: Path, when: Moment, *arguments: str) -> Drive:
    """A process that was killed, or has ended before that moment came; none of it is left."""
    process = drive(place, "train", *arguments, hook=when.trap)
    if when.trap is None:
        process.process.join(when.seconds)
        if process.process.is_alive():
            with suppress(ProcessLookupError):
                (os.killpg if when.group else os.kill)(process.process.pid, signal.SIGKILL)
    process.code()
    return process


def tried(
    place: Path, whole: Undisturbed, random: Random, *, number: int, fault: str, compare: Compare
) -> Trial:
    """Kill a run at a moment, go on with it (killed again or not), and compare."""
    place.mkdir()
    moments: list[Moment] = []
    fault_found: str | None = None
    while fault_found is None:
        arguments = _way_on(place, whole)
        last = len(moments) >= MOST_KILLS or (bool(moments) and random.random() > AGAIN)
        if arguments is None:
            break
        if last:
            fault_found = _ended(drive(place, "train", *arguments))
            break
        when = moment(whole, random, number + 2 * len(moments))
        moments.append(when)
        killed(place, when, *arguments)
        fault_found = _left(place)
    found = [fault_found] if fault_found else compare(_runs(place)[-1], whole.folder)
    if not found:
        shutil.rmtree(place)
    subject = ", then ".join(map(str, moments))
    return Trial(fault, subject, lost=bool(found), result="; ".join(found[:3]) or GOOD)


def _way_on(place: Path, whole: Undisturbed) -> tuple[str, ...] | None:
    """What its user would do, as `resume=` says: begin anew where there is no checkpoint yet."""
    runs = _runs(place)
    if not runs or not list((runs[-1] / "checkpoints").glob("*.ckpt")):
        return whole.arguments
    if '"status": "finished"' in (runs[-1] / "run.json").read_text():
        return None
    return (f"resume={runs[-1]}",)


def _ended(process: Drive) -> str | None:
    code = process.code()
    return f"the command ended with {code}: {process.printed()[-500:]}" if code else None


def _left(place: Path) -> str | None:
    """What a killed run must not leave: processes."""
    end = time.monotonic() + GONE_SECONDS
    while processes_in(place):
        if time.monotonic() > end:
            return f"processes were left: {processes_in(place)}"
        time.sleep(0.02)
    return None


def _class(
    fault: str, configs: Sequence[Sequence[str]], *, compare: Compare = differences
) -> FaultClass:
    def trials(folder: Path, random: Random) -> Iterator[Trial]:
        wholes = [undisturbed(folder / f"whole-{i}", config) for i, config in enumerate(configs)]
        for number in range(TRIALS):
            whole = wholes[number % len(wholes)]
            place = folder / f"trial-{number:02d}"
            yield tried(
                place, whole, random, number=number // len(wholes), fault=fault, compare=compare
            )
        if not list(folder.glob("trial-*")):  # a lost trial's folder is of use beside it
            for i in range(len(wholes)):
                shutil.rmtree(folder / f"whole-{i}")

    return trials


CLASSES: dict[str, FaultClass] = {
    f"killed: {name}": _class(f"SIGKILL, resumed: {name}", [(*SIZE, *options)])
    for name, options in FAMILIES.items()
} | {
    "killed: 2 ranks": _class(
        "SIGKILL, resumed: two ranks (gloo)",
        [(*SIZE, *FAMILIES[n], *RANKS) for n in ("gan", "vae")],
    ),
    "killed: wandb": _class(
        "SIGKILL, resumed: W&B offline",
        [(*SIZE, *FAMILIES[n], *WANDB) for n in ("vae", "gan")],
        compare=wandb_differences,
    ),
}
ALONE: frozenset[str] = frozenset()
