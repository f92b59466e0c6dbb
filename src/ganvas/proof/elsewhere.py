"""A re-run by the code of the recorded commit."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ganvas.engine.command import as_override
from ganvas.engine.runs import read_config
from ganvas.errors import RunError
from ganvas.proof.checkout import (
    evaluate_there,
    overrides_of,
    recorded_commit,
    same_config,
    settle,
    train_there,
    worktree,
)
from ganvas.proof.comparison import read_trace
from ganvas.proof.conditions import Condition, num_ranks, recorded_threads
from ganvas.proof.remeasure import commands_of, of_any_call
from ganvas.proof.verdict import not_comparable

if TYPE_CHECKING:
    from ganvas.proof.checkout import Commit
    from ganvas.proof.original import Original
    from ganvas.proof.reproduction import Reproduction
    from ganvas.proof.settings import ReproduceSettings

_DATA = ("data_dir", "cache_dir", "weights_dir")


def code_there(
    record: Mapping[str, Any], original: Original, settings: ReproduceSettings
) -> Condition:
    """The code of the worktree is the recorded one, but for files that were never added.

    Raises:
        RunError: if there is no repository of ganvas, or the run recorded no commit.
    """
    commit = _commit(record, original, settings)
    told = commit.sha[:7] + (f" and {commit.diff.name}" if commit.diff else "")
    return Condition("code", told, told, "same", note="checked out for the re-run")


def repeat_there(
    done: Reproduction,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    *,
    place: Path,
    out: Path | None,
) -> None:
    """Train in a worktree of the recorded commit, from what the user typed then.

    Raises:
        RunError: if the worktree can't be made.
    """
    here = place / f".checkout-{secrets.token_hex(3)}"
    try:
        _repeat(done, record, settings, here=here, place=place, out=out)
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _repeat(
    done: Reproduction,
    record: Mapping[str, Any],
    settings: ReproduceSettings,
    *,
    here: Path,
    place: Path,
    out: Path | None,
) -> None:
    folder, last = done.original.folder, done.reach.last
    expected = record.get("config_hash")
    environment = _environment(record, read_config(folder), settings)

    def enough(run: Path) -> bool:
        if not same_config(run, expected):
            return True
        return last is not None and read_trace(run).last >= last

    with worktree(_commit(record, done.original, settings)) as tree:
        done.outcome, made = train_there(
            tree,
            _command(done, record, settings, runs_dir=here),
            place=here,
            environment=environment,
            enough=enough,
        )
        other = made is not None and not same_config(made, expected)
        if made is not None and last is None and settings.evaluations and not other:
            for command in commands_of(record):
                evaluate_there(tree, made, of_any_call(command), environment=environment)
    if made is not None:
        name = str(record.get("name") or "run")
        done.folder = settle(made, original=folder, place=place, name=name, out=out)
        done.outcome = replace(done.outcome, folder=done.folder)
    if other:
        text = "the recorded command gives another config there than the one recorded"
        done.verdict = not_comparable(text)


def _environment(
    record: Mapping[str, Any], config: Mapping[str, Any], settings: ReproduceSettings
) -> dict[str, str]:
    """Trusted modules of this call, and threads and devices of the run."""
    told = {"GANVAS_TRUST": ",".join(settings.trust)}
    if threads := settings.threads or recorded_threads(record, config):
        told["OMP_NUM_THREADS"] = str(threads * num_ranks(config))
    if (record.get("hardware") or {}).get("devices") == []:
        told["CUDA_VISIBLE_DEVICES"] = ""
    return told


def _command(
    done: Reproduction, record: Mapping[str, Any], settings: ReproduceSettings, *, runs_dir: Path
) -> list[str]:
    config = read_config(done.original.folder)
    places = settings.places(dict(config.get("paths") or {})).model_dump()
    paths = {"runs_dir": str(runs_dir), **{key: places[key] for key in _DATA}}
    started = overrides_of(record, _typed(done.original.folder))
    if settings.init_from and config.get("init_from"):
        started.append(f"init_from={as_override(settings.init_from)}")
    placed = [f"paths.{key}={as_override(value)}" for key, value in paths.items()]
    return [*started, "logger=none", *placed]


def _typed(folder: Path) -> list[str]:
    file = folder / "overrides.yaml"
    try:
        return [str(text) for text in yaml.safe_load(file.read_text(encoding="utf-8")) or []]
    except (OSError, UnicodeDecodeError, TypeError, yaml.YAMLError) as error:
        raise RunError(
            f"--checkout needs what was typed, and {file} can't be read "
            f"({type(error).__name__}); restore it, or leave --checkout out"
        ) from error


def _commit(record: Mapping[str, Any], original: Original, settings: ReproduceSettings) -> Commit:
    """Changes come with the run's folder, and are run; those of an export are from elsewhere."""
    meant = original.kind in ("run", "study") if settings.diff is None else settings.diff
    return recorded_commit(record, original.folder, diff=meant)
