"""Originals that were tampered with, and a re-run that is made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.engine_helpers import Said, ganvas
from ganvas.engine.train import Outcome


@dataclass(frozen=True)
class Proof:
    """What `ganvas reproduce` said and wrote."""

    said: Said
    folder: Path

    @property
    def content(self) -> dict[str, Any]:
        """Of `reproduction.json`."""
        text = (self.folder / "reproduction.json").read_text()
        return dict(json.loads(text, parse_constant=_no_constant))

    def condition(self, name: str) -> dict[str, Any]:
        """One condition by its name."""
        (found,) = [c for c in self.content["conditions"] if c["name"] == name]
        return dict(found)

    def part(self, name: str) -> dict[str, Any]:
        """One part of the comparison by its name."""
        (found,) = [p for p in self.content["comparison"] if p["name"] == name]
        return dict(found)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no strict JSON")


def reproduce(run: Path, out: Path, *arguments: str) -> Proof:
    """`ganvas reproduce RUN out=…`."""
    return Proof(ganvas("reproduce", str(run), f"out={out}", *arguments), out)


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the run's `run.json`."""
    file = run / "run.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def edit_cell(file: Path, *, row: int, column: str, by: Callable[[float], float]) -> None:
    """Change one number of a table with a header; rows count from 0."""
    header, *rows = [line.split(",") for line in file.read_text().splitlines()]
    index = header.index(column)
    rows[row][index] = repr(by(float(rows[row][index])))
    file.write_text("".join(",".join(cells) + "\n" for cells in [header, *rows]))


def tree(folder: Path) -> Mapping[str, bytes]:
    """All files by their place."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="session")
def proved(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """The run of a VAE, reproduced once; for reading only."""
    return reproduce(run, tmp_path_factory.mktemp("proved") / "again")


@pytest.fixture
def as_proved(proved: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    """Re-runs are a copy of that one: what is tested is how they are compared."""

    def repeat(checked: Any, *, original: Path, place: Path, folder: Path) -> Outcome:
        del checked, original, place
        return Outcome(Path(shutil.copytree(proved.folder, folder)), 0)

    monkeypatch.setattr("ganvas.proof.reproduce.repeat", repeat)
