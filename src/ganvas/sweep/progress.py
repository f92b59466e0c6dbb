"""How far the cells of a sweep are, read from their runs; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from ganvas.errors import RunError
from ganvas.sweep.manifest import Cell, Manifest, State
from ganvas.sweep.outcome import outcome
from ganvas.tracking import holder, read_run_json

_TAIL_BYTES = 16384


@dataclass(frozen=True)
class Progress:
    """One cell, as it is now.

    Attributes:
        cell: as the manifest has it.
        state: the same, but for cells whose driver was killed.
        reason: likewise.
        step: batches consumed, None before the first were written down.
        steps: of the whole budget, where it is known.
        value: the last validation value, with its name.
        seconds: of all attempts, the running one included.
    """

    cell: Cell
    state: State
    reason: str | None
    step: int | None = None
    steps: int | None = None
    value: tuple[str, float] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Overview:
    """A whole sweep, as it is now.

    Attributes:
        folder: of the sweep.
        cells: in order.
        driver: id of the process that runs it; None where nobody does.
        at_once: cells that run at the same time.
    """

    folder: Path
    cells: Sequence[Progress]
    driver: int | None
    at_once: int

    def counts(self) -> dict[State, int]:
        """Number of cells by state, the common ones first."""
        order: tuple[State, ...] = ("done", "running", "queued", "failed", "interrupted")
        found = {state: sum(one.state == state for one in self.cells) for state in order}
        return {state: number for state, number in found.items() if number}

    def seconds_left(self) -> float | None:
        """An estimate, from cells that are done or else running; None where it can't be told."""
        spent = [one.seconds for one in self.cells if one.state == "done" and one.seconds]
        spent = spent or [whole for one in self.cells if (whole := _whole(one)) is not None]
        usual = fmean(spent) if spent else None
        ahead = [_left(one, usual) for one in self.cells if one.state in ("running", "queued")]
        known = [left for left in ahead if left is not None]
        if self.driver is None or not ahead or len(known) < len(ahead):
            return None
        return max(sum(known) / max(1, self.at_once), *known)


def _whole(one: Progress) -> float | None:
    """What a running cell will have taken in the end."""
    if one.state == "running" and one.step and one.steps:
        return one.seconds * max(1.0, one.steps / one.step)
    return None


def _left(one: Progress, usual: float | None) -> float | None:
    if (whole := _whole(one)) is not None:
        return whole - one.seconds
    return None if usual is None else max(0.0, usual - one.seconds)


def overview(manifest: Manifest) -> Overview:
    """What is known of a sweep's cells now.

    A cell that the manifest says to run, while nobody runs the sweep, is told as its run's record
    has it.
    """
    driver = holder(manifest.folder)
    if driver is None and any(cell.attempts and cell.attempts[-1].job for cell in manifest.cells):
        from ganvas.sweep.slurm_driver import refresh  # it brings torch

        refresh(manifest)  # jobs of a cluster go on without a driver
    cells = [_progress(manifest, cell, driven=driver is not None) for cell in manifest.cells]
    running = sum(one.state == "running" for one in cells)
    launcher = manifest.content["launcher"]
    planned = launcher.get("n_jobs") or launcher.get("array_parallelism") or 1
    return Overview(manifest.folder, cells, driver, max(running, int(planned)))


def _progress(manifest: Manifest, cell: Cell, *, driven: bool) -> Progress:
    state, reason, seconds = cell.state, cell.reason, cell.seconds
    if cell.run is None:
        return Progress(cell, state, reason, seconds=seconds)
    folder = manifest.folder / cell.run
    attempt = cell.attempts[-1]
    if state == "running" and attempt.job is None:
        seconds += _since(attempt.started)
        if not driven:
            seconds, (state, reason) = cell.seconds, outcome(manifest, cell)
            if state == "running":
                reason = "its driver was killed; it is ending"
            elif state == "interrupted":
                reason = "its driver was killed"
    step, value = _latest(folder)
    return Progress(cell, state, reason, step, _steps(manifest, cell), value, seconds)


def _since(started: str) -> float:
    with suppress(ValueError, TypeError):
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds())
    return 0.0


def _steps(manifest: Manifest, cell: Cell) -> int | None:
    """The whole budget in steps, as the run's record tells it."""
    with suppress(RunError, KeyError, TypeError, ValueError):
        return int(read_run_json(manifest.folder / str(cell.run))["total_steps"])
    return None


def _latest(folder: Path) -> tuple[int | None, tuple[str, float] | None]:
    """The last step in a run's tables, and the first validation value of the last validation."""
    step: int | None = None
    value: tuple[str, float] | None = None
    validated = ""
    for line in _tail(folder / "trace.csv"):
        with suppress(ValueError):
            step = int(line.partition(",")[0])
    for line in _tail(folder / "metrics.csv"):
        with suppress(ValueError):
            at, _, _, name, number = line.split(",")
            step = max(step or 0, int(at))
            if name.startswith("val/") and at != validated:
                value, validated = (name, float(number)), at
    return step, value


def _tail(file: Path) -> list[str]:
    """The last whole lines of a table that may be written just now."""
    try:
        with file.open("rb") as opened:
            end = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, end - _TAIL_BYTES))
            text = opened.read().decode(errors="replace")
    except OSError:
        return []
    return text.split("\n")[1:-1]  # the first one is the head, or a part of a line
