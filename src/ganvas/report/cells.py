"""Cells of a sweep: which run is which, and those that have no run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ganvas.report.flat import typed_keys
from ganvas.report.view import RunView

MANIFEST = "sweep.json"
_ABOVE = 6  # folders between a run and its sweep: the run's name may hold some


def cells_by_folder(
    sweeps: Sequence[Path], folders: Sequence[Path], problems: list[str]
) -> dict[Path, int]:
    """The cell's index, for run folders that are cells of a sweep."""
    above = {parent for f in folders for parent in list(f.parents)[:_ABOVE]}
    found = {}
    for sweep in {*sweeps, *(p for p in above if (p / MANIFEST).is_file())}:
        try:
            cells = read_cells(sweep)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{sweep / MANIFEST} is damaged: {error}; its runs are shown")
            continue
        for cell in cells:
            if cell.get("run"):
                found[(sweep / cell["run"]).resolve()] = int(cell["index"])
    return found


def read_cells(sweep: Path) -> list[Mapping[str, Any]]:
    """The cells in a manifest.

    Raises:
        OSError: it can't be read.
        ValueError: it is damaged.
    """
    content = json.loads((sweep / MANIFEST).read_bytes())
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    return cells


def cell_views(
    sweep: Path, *, root: Path, known: set[Path], siblings: Sequence[RunView]
) -> Iterator[RunView]:
    """Views of cells whose run has no folder: they wait, or failed before they began."""
    try:
        cells = read_cells(sweep)
    except (OSError, ValueError):
        return
    like = {_unseeded(run.deciding, run.typed): run for run in siblings}
    del like
    for cell in cells:
        if cell.get("run") and (sweep / cell["run"]).resolve() in known:
            continue
        yield _waiting(sweep, cell, root=root)


def _unseeded(config: Mapping[str, Any], typed: Sequence[str]) -> str:
    return " ".join(f"{key}={config.get(key)}" for key in typed if key != "seed")


def _waiting(sweep: Path, cell: Mapping[str, Any], *, root: Path) -> RunView:
    overrides = [str(text) for text in cell.get("overrides") or ()]
    config = {text.lstrip("+~").partition("=")[0]: _scalar(text) for text in overrides}
    decisive = {key: value for key, value in config.items() if key != "seed"}
    seed = config.get("seed")
    return RunView(
        id=f"cell-{cell['index']}",
        name=sweep.name,
        path=sweep,
        place=sweep.relative_to(root).as_posix() if sweep.is_relative_to(root) else str(sweep),
        label="",
        status=cell.get("state", "queued"),
        reason=cell.get("reason"),
        seed=seed if isinstance(seed, int) else None,
        cell=int(cell["index"]),
        created=None,
        finished=None,
        seconds=None,
        peak_mib={},
        config=config,
        deciding=decisive,
        values={},
        protocols={},
        evaluations=(),
        facts={},
        typed=tuple(typed_keys(overrides)),
        group=hashlib.sha256(json.dumps(decisive, default=str).encode()).hexdigest()[:12],
    )


def _scalar(override: str) -> Any:
    value = override.partition("=")[2]
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
