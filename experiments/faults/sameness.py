"""What two runs of one config have in common: all but what measures time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

_TIMES = {"seconds", "ganvas_hashes"}
"""Keys of a checkpoint that no two runs share."""


def differences(run: Path, whole: Path) -> list[str]:
    """What a run that was killed and resumed has otherwise than the undisturbed one.

    Compared are the last, the best and the periodic checkpoints (weights, averages, optimisers,
    counters, schedules, monitors, random states: all but the clock), every row of `metrics.csv`
    but for times, `trace.csv` and all pictures byte for byte, metrics and status in `run.json`,
    and the names of all files.
    """
    return [*_names(run, whole), *_checkpoints(run, whole), *_tables(run, whole)]


def _names(run: Path, whole: Path) -> Iterator[str]:
    """Files that are in only one of them, and pictures that differ."""
    ours, theirs = (
        {str(f.relative_to(r)): f for f in r.rglob("*") if f.is_file() and not _of_wandb(f, r)}
        for r in (run, whole)
    )
    for name in sorted(ours.keys() ^ theirs.keys()):
        yield f"{name}: {'left over' if name in ours else 'missing'}"
    for name in sorted(ours.keys() & theirs.keys()):
        if name.startswith("samples") and ours[name].read_bytes() != theirs[name].read_bytes():
            yield f"{name}: another picture"


def _of_wandb(file: Path, run: Path) -> bool:
    return file.relative_to(run).parts[0] == "wandb"


def _checkpoints(run: Path, whole: Path) -> Iterator[str]:
    for theirs in sorted(whole.glob("checkpoints/*.ckpt")):
        ours = run / "checkpoints" / theirs.name
        if ours.is_file() and theirs.name != "previous.ckpt":
            yield from list(_unlike(_load(ours), _load(theirs), theirs.name))[:3]


def _load(file: Path) -> Any:
    return torch.load(file, weights_only=True)


def _unlike(ours: Any, theirs: Any, where: str) -> Iterator[str]:
    """Where two trees of plain values and tensors differ."""
    if isinstance(theirs, torch.Tensor) and isinstance(ours, torch.Tensor):
        if not torch.equal(ours, theirs):
            yield where
    elif isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys([*theirs, *ours]):
            if key in ours and key in theirs:
                if key not in _TIMES:
                    yield from _unlike(ours[key], theirs[key], f"{where}: {key}")
            else:
                yield f"{where}: {key} in only one of the runs"
    elif isinstance(theirs, list | tuple) and isinstance(ours, list | tuple):
        if len(ours) != len(theirs):
            yield f"{where}: {len(ours)} instead of {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            yield from _unlike(a, b, f"{where}[{i}]")
    elif repr(ours) != repr(theirs):  # so that NaN is NaN
        yield f"{where}: {ours!r} instead of {theirs!r}"


def _tables(run: Path, whole: Path) -> Iterator[str]:
    if (found := _first(figures(run), figures(whole))) is not None:
        yield f"metrics.csv: {found}"
    ours, theirs = ((folder / "trace.csv").read_text().splitlines() for folder in (run, whole))
    if (found := _first(ours, theirs)) is not None:
        yield f"trace.csv: {found}"
    ours, theirs = (json.loads((folder / "run.json").read_text()) for folder in (run, whole))
    for key in ("status", "metrics", "collapses", "weights", "dataset_fingerprint", "seed"):
        if ours.get(key) != theirs.get(key):
            yield f"run.json: {key}: {ours.get(key)} instead of {theirs.get(key)}"


def figures(run: Path) -> list[tuple[str, ...]]:
    """The rows of `metrics.csv` but for what measures time."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if "per_second" in row["name"]:
            row["value"] = "a rate"
    return [tuple(row[key] for key in ("step", "images_seen", "name", "value")) for row in rows]


def _first(ours: Sequence[Any], theirs: Sequence[Any]) -> str | None:
    for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            return f"row {i}: {a} instead of {b}"
    if len(ours) != len(theirs):
        return f"{len(ours)} rows instead of {len(theirs)}"
    return None
