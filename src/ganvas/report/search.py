"""A search as the page shows it, read from a copy: nothing in the sweep's folder changes."""

from __future__ import annotations

import json
import logging
import math
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from errno import ENOENT
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.errors import RunError

if TYPE_CHECKING:
    import optuna

MIN_TRIALS = 4
"""Complete trials from which on the parameters' importance is estimated."""


def search_of(folder: Path) -> dict[str, Any] | None:
    """Objectives, trials and importance of the study in a sweep's folder; None where none is.

    Where there was a search whose study can't be read, `trials` is empty and `reason` says why.
    """
    try:
        manifest = json.loads((folder / "sweep.json").read_bytes())
        asked = manifest["study"]
        objectives = [
            {"name": name, "direction": direction}
            for name, direction in zip(asked["metric"], asked["direction"], strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shown: dict[str, Any] = {"objectives": objectives, "trials": [], "importance": None}
    try:
        file, sqlite = _place(folder, asked)
        with _quiet(), copied_storage(file, sqlite=sqlite) as storage:
            import optuna

            study = optuna.load_study(study_name=asked["study_name"], storage=storage)
            if not file.resolve().is_relative_to(folder.resolve()):
                check_knows(study, str(manifest["name"]), file=file)
            cells = {c.get("trial"): c for c in manifest["cells"]}
            trials = study.get_trials(deepcopy=False)
            shown["trials"] = [_trial(trial, cells.get(trial.number) or {}) for trial in trials]
            shown["importance"] = _importance(study)
    except Exception as error:  # another program's file may be damaged in any way
        said = " ".join(str(error).split())[:200]
        shown["reason"] = f"the study can't be read: {type(error).__name__}: {said}"
    return shown


def _place(folder: Path, asked: Mapping[str, Any]) -> tuple[Path, bool]:
    storage = asked.get("storage")
    if storage is None:
        return folder / "study.log", False
    sqlite = str(storage).startswith("sqlite:///")
    return Path(str(storage).removeprefix("sqlite:///")), sqlite


def check_knows(study: optuna.Study, sweep: str, *, file: Path) -> None:
    """A study in another folder is shown, or written to, only where it knows the sweep.

    Any `sweep.json` may name any file, and may come from anyone.

    Raises:
        RunError: no trial of it is of that sweep.
    """
    if not any(t.user_attrs.get("sweep") == sweep for t in study.get_trials(deepcopy=False)):
        raise RunError(
            f"{file}: the study there has no trial of the sweep {sweep}; search anew, or name it "
            "where its sweep.json keeps `storage`"
        )


@contextmanager
def copied_storage(file: Path, *, sqlite: bool) -> Iterator[optuna.storages.BaseStorage]:
    """A storage's state now, in a copy: Optuna can't open one for reading alone.

    Raises:
        OSError: there is no such file, or it can't be read.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if not file.is_file():  # a device would never end
        raise FileNotFoundError(ENOENT, "no such file", str(file))
    with tempfile.TemporaryDirectory(prefix="ganvas-") as place:
        copy = Path(place) / "study"
        if sqlite:
            with (
                closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
            storage = RDBStorage(f"sqlite:///{copy}")
            try:
                yield storage
            finally:
                storage.remove_session()
                storage.engine.dispose()
            return
        shutil.copyfile(file, copy)
        content = copy.read_bytes()
        copy.write_bytes(content[: content.rfind(b"\n") + 1])
        yield JournalStorage(JournalFileBackend(str(copy)))


@contextmanager
def _quiet() -> Iterator[None]:
    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _trial(trial: optuna.trial.FrozenTrial, cell: Mapping[str, Any]) -> dict[str, Any]:
    seconds = cell.get("seconds")
    if not seconds and trial.duration is not None:
        seconds = trial.duration.total_seconds()
    run = cell.get("run")
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "values": None if trial.values is None else [_plain(value) for value in trial.values],
        "params": {key.lstrip("+"): _read(value) for key, value in trial.params.items()},
        "run": None if run is None else Path(run).name,
        "seconds": seconds,
        "reason": trial.user_attrs.get("reason"),
    }


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _read(value: Any) -> Any:
    """Choices are kept as they were typed: "8" is the number 8 on the page."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        return number if math.isfinite(number) else value
    return value


def _importance(study: optuna.Study) -> dict[str, float] | None:
    """How much of the first objective's variance each parameter explains, in a random forest.

    None with fewer than four complete trials, one parameter, or values that are all the same.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = {trial.values[0] for trial in done}
    keys = {key for trial in done for key in trial.params}
    if len(done) < MIN_TRIALS or len(keys) < 2 or len(values) < 2:  # noqa: PLR2004
        return None
    if not all(math.isfinite(value) for value in values):
        return None
    found = get_param_importances(
        study, evaluator=FanovaImportanceEvaluator(seed=0), target=lambda trial: trial.values[0]
    )
    return {key.lstrip("+"): float(share) for key, share in found.items()}
