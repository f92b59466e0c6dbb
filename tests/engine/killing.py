"""Runs that are killed at defined points, and what they are compared with."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "faults"))

from driven import Drive, Hook, drive
from families import FAMILIES, SIZE
from sameness import differences
from traps import CallTrap, FileTrap, Trap

__all__ = [
    "FAMILIES",
    "SIZE",
    "CallTrap",
    "Drive",
    "FileTrap",
    "Trap",
    "differences",
    "drive",
    "wholes",
]

QUICK = (*SIZE, "test=false")


def killed(place: Path, *arguments: str, hook: Hook) -> None:
    """Start a command that runs into a trap."""
    process = drive(place, "train", *arguments, hook=hook)
    assert process.code() == -9, process.printed()


def resumed(run: Path, *arguments: str) -> str:
    """Go on with a run to its end; all that was printed."""
    process = drive(run.parents[2], "train", f"resume={run}", *arguments)
    assert process.code() == 0, process.printed()
    return process.printed()


def only_run(place: Path) -> Path:
    """The run of a working folder."""
    [found] = place.glob("runs/*/*/run.json")
    return found.parent


def status(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["status"])


@pytest.fixture(scope="session")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs that nobody kills, each trained once, by name."""
    made: dict[Any, Path] = {}

    def whole(name: str, *options: str) -> Path:
        if (name, options) not in made:
            place = tmp_path_factory.mktemp(f"whole-{name}")
            process = drive(place, "train", *QUICK, *FAMILIES[name], *options)
            assert process.code() == 0, process.printed()
            made[name, options] = only_run(place)
        return made[name, options]

    return whole


def copied(run: Path, place: Path) -> Path:
    """The run in another working folder."""
    target = place / "runs" / run.parent.name / run.name
    shutil.copytree(run, target)
    return target
