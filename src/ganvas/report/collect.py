"""Run folders under given paths, read once, whatever state they are in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ganvas.errors import RunError
from ganvas.report.cells import MANIFEST, Cell, read_sweeps
from ganvas.report.flat import digest, flat_config, label_of, telling_keys, typed_keys
from ganvas.report.values import Readings, chosen_values, read_readings
from ganvas.report.view import Curve, MetricValue, RunView, ViewStatus, read_rows
from ganvas.tracking.files import RUN_FILE, read_run_json
from ganvas.tracking.lock import holder
from ganvas.tracking.redact import deciding

__all__ = ["Collection", "Curve", "MetricValue", "RunView", "read_runs"]

T = TypeVar("T")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # six times as fast, where it was built
_FACTS = (
    "command", "git", "packages", "hardware", "config_hash", "dataset_fingerprint", "wandb",
    "reproduction_of",
)  # fmt: skip
_MANY = 1000
_STATUSES = ("running", "finished", "failed", "interrupted")


@dataclass(frozen=True)
class Collection:
    """What was found.

    Attributes:
        runs: oldest first; cells without a run folder come last.
        problems: one line for each file that could not be read.
        root: the folder that all of them are in, absolute.
    """

    runs: tuple[RunView, ...]
    problems: tuple[str, ...]
    root: Path


def read_runs(
    paths: Sequence[Path | str], *, say: Callable[[str], None] | None = None
) -> Collection:
    """All runs at or under some paths, each once, and the cells of sweeps that have no run yet.

    Of a cell that was tried again in another folder the last run counts; an earlier one is read
    where its own folder is given. So is a run that `ganvas reproduce` made: it is no seed more.

    Args:
        paths: run folders, sweep folders, folders of runs.
        say: gets a line before so many runs are read that it takes a while, and one where
            reproductions are left out.

    Raises:
        RunError: there is no such folder. A damaged run is a line in `problems` instead.
    """
    problems: list[str] = []
    folders, sweeps = _find(paths, problems)
    if say is not None and len(folders) > _MANY:
        say(f"reading {len(folders)} runs")
    root = _common_root(paths, folders)
    cells = read_sweeps(sweeps, folders, problems)
    index_of = {run: cell.index for many in cells.values() for cell in many for run in cell.runs}
    given = {_absolute(path) for path in paths}
    there = set(folders)
    left = {run for many in cells.values() for cell in many for run in cell.superseded(there)}
    read: list[tuple[RunView, Readings]] = []
    for folder in (folder for folder in folders if folder in given or folder not in left):
        try:
            read.append(_read(folder, root=root, cell=index_of.get(folder)))
        except RunError as error:
            problems.append(str(error))
    read = _without_reproductions(read, given=given, say=say)
    read.sort(key=lambda pair: (pair[0].created or "", _number(pair[0].cell), pair[0].place))
    for sweep in sweeps:
        waiting = [cell for cell in cells.get(sweep, ()) if not {*cell.runs} & {*folders}]
        read += [(_waiting(cell, root=root), {}) for cell in waiting]
    return Collection(_finished(read), tuple(problems), root)


def _without_reproductions(
    read: list[tuple[RunView, Readings]], *, given: set[Path], say: Callable[[str], None] | None
) -> list[tuple[RunView, Readings]]:
    """Less the runs that repeat another one, unless their own folder was given."""
    kept = [
        (run, readings) for run, readings in read
        if not run.facts["reproduction_of"] or run.path in given
    ]  # fmt: skip
    if say is not None and (left := len(read) - len(kept)):
        say(f"{left} reproduction{'s' * (left > 1)} left out; give their folders to see them")
    return kept


def _find(paths: Sequence[Path | str], problems: list[str]) -> tuple[list[Path], list[Path]]:
    """Run folders and sweep folders, absolute, in the order they were found."""

    def closed(error: OSError) -> None:
        problems.append(f"{error.filename} can't be read: {error.strerror}")

    folders: dict[Path, None] = {}
    sweeps: dict[Path, None] = {}
    for path in paths:
        top = _absolute(path)
        if not top.is_dir():
            raise RunError(
                f"{path}: no such folder; give run folders, sweep folders or folders of runs"
            )
        for place, below, names in os.walk(top, onerror=closed):
            below.sort()
            if RUN_FILE in names:
                below.clear()
                folders[Path(place)] = None
            elif MANIFEST in names:
                sweeps[Path(place)] = None
    return list(folders), list(sweeps)


def _absolute(path: Path | str) -> Path:
    """The folder; of a `run.json` or `sweep.json`, the one that it is in."""
    top = Path(path).expanduser().resolve()
    return top.parent if top.is_file() and top.name in (RUN_FILE, MANIFEST) else top


def _common_root(paths: Sequence[Path | str], folders: Iterable[Path]) -> Path:
    """The deepest folder that holds all that was given; of run folders, their parents count."""
    runs = {*folders}
    tops = [top.parent if top in runs else top for top in map(_absolute, paths)]
    return Path(os.path.commonpath(tops)) if tops else Path.cwd()


def _read(folder: Path, *, root: Path, cell: int | None) -> tuple[RunView, Readings]:
    record = read_run_json(folder)
    config = _yaml(folder / "config.yaml")
    if not isinstance(config, dict):
        raise RunError(f"{folder / 'config.yaml'} is missing or holds no mapping; restore it")
    try:
        view = _view(folder, record, config, root=root, cell=cell)
        return view, read_readings(record, view.deciding)
    except OSError as error:
        raise RunError(f"{error.filename} can't be read: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise RunError(
            f"{folder / RUN_FILE} is damaged ({type(error).__name__}: {told}); restore the file"
        ) from error


def _view(
    folder: Path, record: Mapping[str, Any], config: Mapping[str, Any], *, root: Path,
    cell: int | None,
) -> RunView:  # fmt: skip
    usage = record.get("usage") or {}
    reason = record.get("reason")
    return replace(
        _configured(config, record.get("choices") or {}),
        id=folder.name,
        name=str(record.get("name") or folder.parent.name),
        path=folder,
        place=_relative(folder, root),
        status=_status(folder, record),
        reason=None if reason is None else str(reason),
        seed=_of_type("seed", record.get("seed"), int),
        cell=cell,
        created=_of_type("created", record.get("created"), str),
        finished=_of_type("finished", record.get("finished"), str),
        seconds=_spent(folder, usage),
        peak_mib={str(k): float(v) for k, v in (usage.get("peak_memory_mib") or {}).items()},
        evaluations=tuple(record.get("evaluations") or ()),
        facts={name: record.get(name) for name in _FACTS},
        typed=tuple(typed_keys(_yaml(folder / "overrides.yaml"))),
    )


def _waiting(cell: Cell, *, root: Path) -> RunView:
    """A cell without a run, by the config that it was frozen with."""
    try:
        stored = _yaml(cell.sweep / "cells" / f"{cell.index:04d}.yaml") or {}
        view = _configured(stored["config"], stored["choices"])
    except (RunError, AttributeError, KeyError, TypeError):
        view = _configured(_plain(cell.overrides), {})
    return replace(
        view,
        id=f"cell-{cell.index}",
        name=str(view.config.get("name") or cell.sweep.name),
        path=cell.sweep,
        place=_relative(cell.sweep, root),
        status=cell.status,
        reason=cell.told,
        cell=cell.index,
        typed=tuple(typed_keys(list(cell.overrides))),
    )


def _configured(config: Mapping[str, Any], choices: Mapping[str, Any]) -> RunView:
    """A view that knows its config alone."""
    hashed = deciding(config)
    decisive = flat_config(hashed, choices)
    seed = decisive.pop("seed", None)
    return RunView(
        id="", name="", path=Path(), place="", label="", status="queued", reason=None,
        seed=seed if isinstance(seed, int) else None,
        cell=None, created=None, finished=None, seconds=None, peak_mib={},
        config=flat_config(config, choices),
        deciding=decisive,
        values={}, protocols={}, evaluations=(), facts={}, typed=(),
        group=digest({k: v for k, v in flat_config(hashed, {}).items() if k != "seed"}),
    )  # fmt: skip


def _plain(overrides: Sequence[str]) -> dict[str, Any]:
    """`{"model": "vae", …}`: all that is known of a cell whose frozen config is gone."""
    found = {}
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        try:
            found[key] = yaml.load(value, Loader=_LOADER)
        except yaml.YAMLError:
            found[key] = value
    return found


def _yaml(file: Path) -> Any:
    """The file's content, None where there is no such file."""
    try:
        return yaml.load(file.read_bytes(), Loader=_LOADER)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error


def _of_type(name: str, value: T | None, kind: type[T]) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    raise ValueError(f"{name} must be {kind.__name__}, got {type(value).__name__}")


def _status(folder: Path, record: Mapping[str, Any]) -> ViewStatus:
    status: ViewStatus = record["status"]
    if status not in _STATUSES:
        raise ValueError(f"status must be one of {', '.join(_STATUSES)}, got {status!r}")
    return "killed" if status == "running" and holder(folder) is None else status


def _spent(folder: Path, usage: Mapping[str, Any]) -> float | None:
    """What the record says; of a run that could not write it, the last row of its metrics."""
    if "seconds" in usage:
        return float(usage["seconds"])
    return max((seconds for _, _, seconds, _, _ in read_rows(folder)), default=None)


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def _number(index: int | None) -> int:
    return -1 if index is None else index


def _finished(read: Sequence[tuple[RunView, Readings]]) -> tuple[RunView, ...]:
    """With values, labels, and ids that are each there once."""
    values = chosen_values([readings for _, readings in read])
    typed = list(dict.fromkeys(key for run, _ in read for key in run.typed))
    groups = {run.group: run.deciding for run, _ in read}
    keys = telling_keys(list(groups.values()), typed=typed)
    views: dict[str, RunView] = {}
    for (run, _), mine in zip(read, values, strict=True):
        protocols = {
            name: value.protocols["best" if value.best is not None else "final"]
            for name, value in mine.items()
        }
        name = run.id
        while name in views:  # a copy of a run's folder, or cells of two sweeps
            name += "~"
        label = label_of(run, keys)
        views[name] = replace(run, id=name, label=label, values=mine, protocols=protocols)
    return tuple(views.values())
