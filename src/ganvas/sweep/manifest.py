"""`sweep.json`: every cell of a sweep, what was asked of it and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, final

import yaml
from pydantic import TypeAdapter, ValidationError

from ganvas.engine.settings import explain
from ganvas.errors import RunError
from ganvas.tracking import config_hash, redact, redact_text, remember, secretless
from ganvas.tracking.files import write_json, write_yaml
from ganvas.tracking.lock import RunLock

FORMAT_VERSION = 1
SWEEP_FILE = "sweep.json"
CELLS = "cells"

State = Literal["queued", "running", "done", "failed", "interrupted"]


@dataclass
class Attempt:
    """One process that trained a cell, or went on with it.

    Attributes:
        run: folder of its run, relative to the sweep's; chosen before the process begins.
        started: time of day, UTC.
        finished: likewise; None while it runs, or where its driver was killed.
        threads: CPU threads it was given.
        gpus: indices of its GPUs; None where it was given none.
        exit_code: of the process, negative for a signal.
        job: id of a cluster's job.
    """

    run: str
    started: str
    threads: int
    gpus: list[int] | None = None
    finished: str | None = None
    exit_code: int | None = None
    job: str | None = None


@dataclass
class Cell:
    """One run of a sweep.

    Attributes:
        index: in the sweep, from 0.
        overrides: as one would type them.
        label: those that tell it from the other cells.
        name: of its run.
        config_hash: see `tracking.config_hash`.
        state: "queued", "running", "done", "failed" or "interrupted".
        reason: one line, where it is not simply done.
        seconds: of all attempts.
        attempts: in order.
        trial: number of the search's trial that it is of.
    """

    index: int
    overrides: list[str]
    label: str
    name: str
    config_hash: str
    state: State = "queued"
    reason: str | None = None
    seconds: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    trial: int | None = None

    @property
    def run(self) -> str | None:
        """Folder of the last attempt's run, relative to the sweep's."""
        return self.attempts[-1].run if self.attempts else None


_CELL = TypeAdapter(Cell)


@final
class Manifest:
    """A sweep's folder and its `sweep.json`, which is rewritten in one step at each change.

    Args:
        folder: of the sweep, absolute.
        content: of `sweep.json` less the cells.
        cells: in order of their index.
    """

    def __init__(self, folder: Path, content: dict[str, Any], cells: list[Cell]) -> None:
        self.folder = folder
        self.content = content
        self.cells = cells
        self._held = False
        self._written = False

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        command: str,
        overrides: Sequence[str],
        launcher: dict[str, Any],
        search: Sequence[str] = (),
        trust: Sequence[str] = (),
    ) -> Manifest:
        """A new sweep, not yet written.

        Args:
            folder: of the sweep.
            command: the whole command line.
            overrides: as typed, with several values.
            launcher: its settings.
            search: more folders with config groups, absolute.
            trust: trusted modules; later commands must name them again.

        Raises:
            RunError: there is a sweep in that folder.
        """
        if (folder / SWEEP_FILE).exists():
            raise RunError(
                f"{folder} holds a sweep already; go on with it by `ganvas sweep resume`, add to "
                "it by `ganvas sweep add`, or choose another hydra.sweep.dir"
            )
        content = {
            "format_version": FORMAT_VERSION,
            "name": folder.name,
            "created": now(),
            "command": redact_text(command),
            "overrides": [redact_text(text) for text in overrides],
            "launcher": secretless(launcher),
            "search": list(search),
            "trust": list(trust),
        }
        return cls(folder.resolve(), content, [])

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """A sweep from its folder, as it was last written.

        Raises:
            RunError: there is none, it is damaged, or a later version wrote it.
        """
        file = folder / SWEEP_FILE
        try:
            content = json.loads(file.read_bytes())
            version = int(content["format_version"])
            if version <= FORMAT_VERSION:
                stored = content.pop("cells")
                cells = [_cell(i, cell) for i, cell in enumerate(stored)]
                _check_content(content)
        except FileNotFoundError:
            raise RunError(
                f"{folder} is no sweep's folder: it has no {SWEEP_FILE}; give a folder like "
                "runs/sweeps/<name>-<id>"
            ) from None
        except OSError as error:
            raise RunError(f"{file} can't be read: {error.strerror}") from error
        except ValidationError as error:
            told = "; ".join(explain(error, prefix="cell", known={}).splitlines())
            raise RunError(f"{file} is damaged ({told}); restore the file") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{file} is damaged ({error}); restore the file") from error
        if version > FORMAT_VERSION:
            raise RunError(f"{file} has format_version {version}; upgrade ganvas")
        manifest = cls(folder.resolve(), content, cells)
        manifest._written = True
        return manifest

    def reload(self) -> None:
        """Forgets what this process knows for what was last written.

        Raises:
            RunError: see `load`.
        """
        latest = Manifest.load(self.folder)
        self.content, self.cells = latest.content, latest.cells

    @property
    def name(self) -> str:
        """Of the sweep; it stays when the folder is moved."""
        return str(self.content["name"])

    def save(self) -> None:
        """Writes `sweep.json`.

        Raises:
            OSError: it could not be written; the old file stands.
        """
        cells = [{**asdict(cell), "run": cell.run} for cell in self.cells]
        write_json(self.folder / SWEEP_FILE, {**self.content, "cells": cells})
        self._written = True

    def freeze(self, cell: Cell, config: dict[str, Any], choices: dict[str, str]) -> None:
        """Adds a cell and writes the config that it will run with; `save` makes it known."""
        file = self.folder / CELLS / f"{cell.index:04d}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        remember(config)
        write_yaml(file, {"choices": choices, "config": redact(config)})
        self.cells.append(cell)

    def frozen(self, cell: Cell) -> tuple[dict[str, Any], dict[str, str]]:
        """The config that a cell was frozen with, less its secrets, and its choices of groups.

        Raises:
            RunError: the file is missing or was changed.
        """
        file = self.folder / CELLS / f"{cell.index:04d}.yaml"
        try:
            stored = yaml.safe_load(file.read_text(encoding="utf-8"))
            config, choices = stored["config"], stored["choices"]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
            raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error
        if config_hash(config) != cell.config_hash:
            raise RunError(f"{file} was changed: its hash is not that of {SWEEP_FILE}; restore it")
        return config, choices

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other drivers out while this one runs; within itself it does nothing.

        Raises:
            RunError: another process runs the sweep.
        """
        if self._held:
            yield
            return
        lock = RunLock(self.folder)
        self._held = True
        try:
            if not self._written and (self.folder / SWEEP_FILE).exists():
                raise RunError(f"{self.folder} holds a sweep already; choose another folder")
            for left in self.folder.glob(f".{SWEEP_FILE}.*.tmp"):  # its writer was killed
                left.unlink(missing_ok=True)
            yield
        finally:
            self._held = False
            lock.release()

    def counts(self) -> dict[State, int]:
        """Number of cells by state, states without cells left out."""
        found: dict[State, int] = {}
        for cell in self.cells:
            found[cell.state] = found.get(cell.state, 0) + 1
        return found


def _check_content(content: dict[str, Any]) -> None:
    for key, kind in (("name", str), ("launcher", dict)):
        if not isinstance(content[key], kind):
            raise TypeError(f"{key}: {content[key]!r}")
    content.setdefault("search", [])
    content.setdefault("trust", [])
    for key in ("overrides", "search", "trust"):
        if not isinstance(content[key], list) or not all(isinstance(t, str) for t in content[key]):
            raise TypeError(f"{key}: {content[key]!r}")


def _cell(index: int, stored: dict[str, Any]) -> Cell:
    """A cell as it was written down; no folder outside the sweep's is ever gone to."""
    cell = _CELL.validate_python(stored)
    if cell.index != index:
        raise ValueError(f"cell {index}: index {cell.index!r}")
    for place in (cell.name, *(attempt.run for attempt in cell.attempts)):
        if not inside(place):
            raise ValueError(f"cell {index}: {place!r} is outside of the sweep's folder")
    return cell


def inside(place: str) -> bool:
    """Whether a relative path leads to a place below where it begins."""
    path = PurePosixPath(place)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def now() -> str:
    """Time of day in UTC, to a second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
