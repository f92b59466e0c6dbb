"""All that can be told of a sweep before its first cell: nothing is on disk until this is good."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from ganvas.engine.command import as_override
from ganvas.engine.compose import Composed, compose, options
from ganvas.engine.grammar import parse, split_hydra, sweep_jobs
from ganvas.engine.ranks import launcher
from ganvas.engine.settings import validate
from ganvas.errors import ConfigError
from ganvas.sweep.cells import Planned, plan
from ganvas.sweep.launch import PLANNED
from ganvas.sweep.manifest import SWEEP_FILE
from ganvas.sweep.search_launch import PLANS, prepare_search
from ganvas.sweep.search_plan import SearchPlan
from ganvas.sweep.search_settings import SWEEPER
from ganvas.sweep.search_space import parse_space
from ganvas.sweep.settings import LAUNCHERS, Launching


@dataclass(frozen=True)
class Prepared:
    """A sweep that may begin.

    Attributes:
        folder: of the sweep, absolute.
        planned: its cells.
        check: whether they are only to be shown.
        launcher: values of the launcher's keys.
        search: what is searched, where its cells are but the corners of a space.
    """

    folder: Path
    planned: list[Planned]
    check: bool
    launcher: dict[str, Any]
    search: SearchPlan | None = None

    @property
    def dir_override(self) -> str:
        """Tells Hydra of the folder."""
        return f"hydra.sweep.dir={as_override(self.folder)}"


def prepare(overrides: Sequence[str], *, search: Sequence[str | Path] = ()) -> Prepared:
    """Compose and check all cells, the launcher and the folder.

    Args:
        overrides: as typed after `ganvas train -m`.
        search: more folders with config groups.

    Raises:
        GanvasError: if the sweep would be refused; every bad cell is named.
    """
    _refuse_ranks()
    _refuse_agent()
    own, typed = split_hydra(overrides)
    if any(o.startswith("hydra.sweep.subdir=") for o in own):
        raise ConfigError("hydra.sweep.subdir: not used; cells' runs are <name>/<date-time>-<id>")
    if any(o.startswith("resume=") for o in typed):
        raise ConfigError("resume: goes on with one run; `ganvas sweep resume` with a sweep")
    composed = _first(own, typed, search)
    _refuse_batches(composed.hydra["sweeper"])
    launching = _launcher(composed.hydra["launcher"])
    planned = _cells(composed.hydra, typed, search)
    check = any(one.checked.settings.check for one in planned)
    if not check:
        launching.check([one.checked for one in planned])
    typed_folder = any(o.startswith("hydra.sweep.dir=") for o in own)
    folder = _free(composed.hydra["dir"]) if typed_folder else _new(planned)
    searched = composed.hydra["sweeper"]["_target_"] == SWEEPER
    found = PLANS[tuple(typed)][0] if searched else None
    return Prepared(folder, planned, check, composed.hydra["launcher"], search=found)


def _first(own: list[str], typed: list[str], search: Sequence[str | Path]) -> Composed:
    """One cell, with Hydra's own node."""
    if "hydra/sweeper=optuna" in own or any(one.is_interval_sweep() for one in parse(typed)):
        return compose([*own, *parse_space(typed, search=search).corners()[0]], search=search)
    jobs = sweep_jobs(typed, options=partial(options, search=search))
    try:
        return compose([*own, *jobs[0]], search=search)
    except ConfigError:
        plan(jobs, search=search, data=False)  # if it is the cell's fault, others may have one too
        raise


def _cells(hydra: dict[str, Any], typed: list[str], search: Sequence[str | Path]) -> list[Planned]:
    """All cells of a sweep, or the corners of a search's space."""
    if hydra["sweeper"]["_target_"] == SWEEPER:
        return prepare_search(hydra, typed, search=search)
    params = hydra["sweeper"].get("params") or {}
    jobs = sweep_jobs(
        [*(f"{k}={v}" for k, v in params.items()), *typed], options=partial(options, search=search)
    )
    planned = plan(jobs, search=search)
    PLANNED.update({one.overrides: one for one in planned})
    return planned


def _refuse_batches(sweeper: dict[str, Any]) -> None:
    """Those of later batches would be in no manifest, and lost with their driver."""
    if sweeper.get("max_batch_size") is not None:
        raise ConfigError(
            f"hydra.sweeper.max_batch_size={sweeper['max_batch_size']}: a sweep is one batch, of "
            "which so many run at once; leave it out, and set hydra.launcher.n_jobs"
        )


def _refuse_ranks() -> None:
    found = launcher()
    if found is not None:
        raise ConfigError(
            f"-m: {found} has started this process as one of several, and each would run the "
            "whole sweep; start `ganvas train -m` by itself: a cell with trainer.devices=N starts "
            "its own ranks"
        )


def _refuse_agent() -> None:
    if "WANDB_SWEEP_ID" in os.environ:
        raise ConfigError(
            "-m: this process is one run of a W&B agent (WANDB_SWEEP_ID is set), which all cells "
            "would be shown as; leave out -m, since the agent names one cell at a time"
        )


def _launcher(node: dict[str, Any]) -> Launching:
    """The launcher is one of ours, and its values are good."""
    target = str(node["_target_"])
    if target not in LAUNCHERS:
        raise ConfigError(
            f"hydra/launcher: must be one that gives each cell a process of its own, got "
            f"`{target}`; there are: ganvas, slurm"
        )
    values = {key: value for key, value in node.items() if key != "_target_"}
    return validate(LAUNCHERS[target], values, prefix="hydra.launcher")


def _free(typed: str) -> Path:
    """The folder that was typed, if no sweep is in it."""
    if not typed.strip():
        raise ConfigError(f"hydra.sweep.dir: must be the path of a folder, got {typed!r}")
    folder = Path(typed).expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        told = "can't be written to" if there.is_dir() else "is a file"
        raise ConfigError(f"hydra.sweep.dir={typed}: {there} {told}; name another folder")
    if (folder / SWEEP_FILE).exists():
        raise ConfigError(
            f"hydra.sweep.dir={folder}: holds a sweep already; go on with it by `ganvas sweep "
            "resume`, add to it by `ganvas sweep add`, or name another folder"
        )
    return folder


def _new(planned: Sequence[Planned]) -> Path:
    """`runs/sweeps/<name>-<date-time>-<six hex digits>`."""
    names = {str(one.checked.settings.name) for one in planned}
    name = names.pop() if len(names) == 1 else "sweep"
    place = Path(planned[0].checked.settings.paths.runs_dir)
    when = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return place.absolute() / "sweeps" / f"{name}-{when}-{secrets.token_hex(3)}"
