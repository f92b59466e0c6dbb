"""Cells of a sweep: which run is which cell, and views of those that have no run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ganvas.report.view import ViewStatus
from ganvas.tracking.lock import holder

MANIFEST = "sweep.json"
_ABOVE = 6  # folders between a run and its sweep at most: the name of a run may hold some


@dataclass(frozen=True)
class Cell:
    """One cell of a `sweep.json`.

    Attributes:
        sweep: the sweep's folder.
        index: of the cell.
        overrides: as typed.
        state: as the manifest says.
        reason: one line, or None.
        runs: folders of its attempts, absolute, the last one last.
    """

    sweep: Path
    index: int
    overrides: tuple[str, ...]
    state: str
    reason: str | None
    runs: tuple[Path, ...]

    def superseded(self, folders: Set[Path]) -> tuple[Path, ...]:
        """Runs that the cell was tried again after; all but the last one that is there."""
        present = [run for run in self.runs if run in folders]
        return tuple(present[:-1])

    @property
    def status(self) -> ViewStatus:
        """Of a cell without a run folder; one that runs under no driver was killed."""
        if self.state == "running":
            return "killed" if holder(self.sweep) is None else "running"
        known = ("queued", "failed", "interrupted")
        return cast("ViewStatus", self.state) if self.state in known else "failed"

    @property
    def told(self) -> str | None:
        """Its reason; that of a cell that is done and has no run is that somebody removed it."""
        gone = "its run's folder is gone" if self.state == "done" else None
        return gone or self.reason


def read_sweeps(
    sweeps: Sequence[Path], folders: Sequence[Path], problems: list[str]
) -> dict[Path, list[Cell]]:
    """The cells of sweeps, and of those that the run folders lie in, by the sweep's folder.

    Args:
        sweeps: folders with a manifest.
        folders: of runs.
        problems: gets a line for each manifest that can't be read.
    """
    above = {parent for folder in folders for parent in list(folder.parents)[:_ABOVE]}
    found = {}
    for sweep in sorted({*sweeps, *(p for p in above if (p / MANIFEST).is_file())}):
        try:
            found[sweep] = list(_read(sweep))
        except OSError as error:
            problems.append(f"{sweep / MANIFEST} can't be read: {error.strerror}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = " ".join(str(error).split())
            problems.append(
                f"{sweep / MANIFEST} is damaged ({type(error).__name__}: {told}): only cells that "
                "have a run are shown; restore the file"
            )
    return found


def _read(sweep: Path) -> Iterator[Cell]:
    content = json.loads((sweep / MANIFEST).read_bytes())
    for cell in content["cells"]:
        attempts = [attempt["run"] for attempt in cell.get("attempts") or ()]
        runs = dict.fromkeys([*attempts, *([cell["run"]] if cell.get("run") else [])])
        reason = cell.get("reason")
        yield Cell(
            sweep=sweep,
            index=int(cell["index"]),
            overrides=tuple(map(str, cell.get("overrides") or ())),
            state=str(cell["state"]),
            reason=None if reason is None else str(reason),
            runs=tuple((sweep / run).resolve() for run in runs),
        )
