"""All that can be told of a sweep before its first cell: nothing is on disk until this is good."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ganvas.engine.command import as_override
from ganvas.engine.compose import compose
from ganvas.engine.grammar import split_hydra, sweep_jobs
from ganvas.engine.settings import validate
from ganvas.errors import ConfigError
from ganvas.sweep.cells import Planned, plan
from ganvas.sweep.launch import PLANNED
from ganvas.sweep.manifest import SWEEP_FILE
from ganvas.sweep.settings import LAUNCHERS

OF_RANKS = ("LOCAL_RANK", "RANK", "TORCHELASTIC_RUN_ID", "SLURM_STEP_ID")


@dataclass(frozen=True)
class Prepared:
    """A sweep that may begin.

    Attributes:
        folder: of the sweep, absolute.
        planned: its cells.
        check: whether they are only to be shown.
    """

    folder: Path
    planned: list[Planned]
    check: bool

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
    own, typed = split_hydra(overrides)
    if any(o.startswith("resume=") for o in typed):
        raise ConfigError("resume: goes on with one run; `ganvas sweep resume` with a sweep")
    jobs = sweep_jobs(typed)
    try:
        composed = compose([*own, *jobs[0]], search=search)
    except ConfigError:
        plan(jobs, search=search, data=False)  # if it is the cell's fault, others may have one too
        raise
    _check_launcher(composed.hydra["launcher"])
    params = composed.hydra["sweeper"].get("params") or {}
    planned = plan(sweep_jobs([*(f"{k}={v}" for k, v in params.items()), *typed]), search=search)
    PLANNED.update({one.overrides: one for one in planned})
    check = any(one.checked.settings.check for one in planned)
    typed_folder = any(o.startswith("hydra.sweep.dir=") for o in own)
    folder = _free(composed.hydra["dir"]) if typed_folder else _new(planned)
    return Prepared(folder, planned, check)


def _refuse_ranks() -> None:
    found = next((name for name in OF_RANKS if name in os.environ), None)
    if found is not None:
        raise ConfigError(
            f"-m: this process is one rank of several ({found} is set), and each would run the "
            "whole sweep; start `ganvas train -m` by itself: a cell with trainer.devices=N starts "
            "its own ranks"
        )


def _check_launcher(node: dict[str, Any]) -> None:
    """The launcher is one of ours, and its values are good."""
    target = str(node["_target_"])
    if target not in LAUNCHERS:
        raise ConfigError(
            f"hydra/launcher: must be one that gives each cell a process of its own, got "
            f"`{target}`; there are: ganvas, slurm"
        )
    values = {key: value for key, value in node.items() if key != "_target_"}
    validate(LAUNCHERS[target], values, prefix="hydra.launcher")


def _free(typed: str) -> Path:
    """The folder that was typed, if no sweep is in it."""
    folder = Path(typed).expanduser().absolute()
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
