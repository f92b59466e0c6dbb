"""Run folders under given paths, read once, whatever state they are in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ganvas.errors import RunError
from ganvas.report.cells import MANIFEST, cell_views, cells_by_folder
from ganvas.report.flat import flat_config, label_of, telling_keys, typed_keys
from ganvas.report.values import read_protocols, read_values
from ganvas.report.view import Curve, MetricValue, RunView, ViewStatus, read_rows
from ganvas.tracking.files import RUN_FILE, read_run_json
from ganvas.tracking.lock import holder
from ganvas.tracking.redact import deciding

__all__ = ["Collection", "Curve", "MetricValue", "RunView", "read_runs"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # six times as fast, where it was built
_FACTS = ("command", "git", "packages", "hardware", "config_hash", "dataset_fingerprint", "wandb")


@dataclass(frozen=True)
class Collection:
    """What was found.

    Attributes:
        runs: oldest first; cells without a folder come last.
        problems: one line for each folder that could not be read.
        root: the folder that all of them are in, absolute.
    """

    runs: tuple[RunView, ...]
    problems: tuple[str, ...]
    root: Path


def read_runs(paths: Sequence[Path | str]) -> Collection:
    """All runs at or under some paths, each once.

    Args:
        paths: run folders, sweep folders, folders of runs.

    Raises:
        RunError: there is no such folder. A damaged run is a line in `problems` instead.
    """
    folders, sweeps = _find([Path(p).expanduser() for p in paths])
    root = _common_root([*folders, *sweeps], paths)
    problems: list[str] = []
    cells = cells_by_folder(sweeps, folders, problems)
    runs = []
    for folder in folders:
        try:
            runs.append(_read(folder, root=root, cell=cells.get(folder)))
        except RunError as error:
            problems.append(str(error))
    runs.sort(key=lambda run: (run.created or "", run.cell or 0, run.place))
    known = {*folders}
    waiting = [v for s in sweeps for v in cell_views(s, root=root, known=known, siblings=runs)]
    return Collection(tuple(_labelled([*runs, *waiting])), tuple(problems), root)


def _find(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Run folders and sweep folders, absolute, each once."""
    folders: dict[Path, None] = {}
    sweeps: dict[Path, None] = {}
    for path in paths:
        root = path.resolve()
        if root.name == RUN_FILE and root.is_file():
            root = root.parent
        if not root.is_dir():
            raise RunError(f"{path}: no such folder; give a run, a sweep or a folder of runs")
        for place, below, names in os.walk(root):
            if RUN_FILE in names:
                below.clear()
                folders[Path(place)] = None
            elif MANIFEST in names:
                sweeps[Path(place)] = None
    return list(folders), list(sweeps)


def _common_root(found: Sequence[Path], paths: Sequence[Path | str]) -> Path:
    given = [Path(p).expanduser().resolve() for p in paths]
    if len(given) == 1 and given[0] not in found:
        return given[0]
    places = [*(f.parent for f in found), *(() if found else given)]
    return Path(os.path.commonpath(places)) if places else Path.cwd()


def _read(folder: Path, *, root: Path, cell: int | None) -> RunView:
    record = read_run_json(folder)
    try:
        return _view(folder, record, root=root, cell=cell)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise RunError(
            f"{folder / RUN_FILE} is damaged ({type(error).__name__}: {told}); restore the file"
        ) from error


def _view(folder: Path, record: Mapping[str, Any], *, root: Path, cell: int | None) -> RunView:
    config = read_config(folder)
    decisive = flat_config(deciding(config), record.get("choices") or {})
    decisive.pop("seed", None)
    flat = flat_config(config, record.get("choices") or {})
    usage = record.get("usage") or {}
    return RunView(
        id=folder.name,
        name=str(record.get("name") or folder.parent.name),
        path=folder,
        place=_relative(folder, root),
        label="",
        status=_status(folder, record),
        reason=record.get("reason"),
        seed=record.get("seed"),
        cell=cell,
        created=record.get("created"),
        finished=record.get("finished"),
        seconds=usage["seconds"] if "seconds" in usage else _last_second(folder),
        peak_mib=usage.get("peak_memory_mib") or {},
        config=flat,
        deciding=decisive,
        values=read_values(record),
        protocols=read_protocols(record),
        evaluations=tuple(record.get("evaluations") or ()),
        facts={name: record.get(name) for name in _FACTS},
        typed=tuple(typed_keys(_yaml(folder / "overrides.yaml") or [])),
        group=group_hash(decisive),
    )


def group_hash(decisive: Mapping[str, Any]) -> str:
    """Twelve hex digits, equal for equal configs."""
    text = json.dumps(decisive, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_config(folder: Path) -> dict[str, Any]:
    """A run's frozen config.

    Raises:
        RunError: it can't be read.
    """
    config = _yaml(folder / "config.yaml")
    if not isinstance(config, dict):
        raise RunError(f"{folder / 'config.yaml'} is damaged: it holds no mapping; restore it")
    return config


def _yaml(file: Path) -> Any:
    try:
        return yaml.load(file.read_bytes(), Loader=_LOADER)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error


def _status(folder: Path, record: Mapping[str, Any]) -> ViewStatus:
    status: ViewStatus = record["status"]
    return "killed" if status == "running" and holder(folder) is None else status


def _last_second(folder: Path) -> float | None:
    """Of a run that did not get to write down what it used."""
    return max((seconds for _, _, seconds, _, _ in read_rows(folder)), default=None)


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def _labelled(runs: Sequence[RunView]) -> Iterator[RunView]:
    """With labels, and ids that are each there once."""
    keys = telling_keys([run.deciding for run in runs], typed=_all_typed(runs))
    seen: set[str] = set()
    for run in runs:
        name = run.id if run.id not in seen else run.place
        seen.add(name)
        yield replace(run, id=name, label=label_of(run, keys))


def _all_typed(runs: Iterable[RunView]) -> list[str]:
    return list(dict.fromkeys(key for run in runs for key in run.typed))
