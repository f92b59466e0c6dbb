"""Going on with a sweep, and adding cells to it; nothing that is done is touched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganvas.engine.command import command_settings
from ganvas.engine.grammar import split_hydra, sweep_jobs
from ganvas.errors import ConfigError, RunError
from ganvas.sweep.cells import plan
from ganvas.sweep.launch import run_cells
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.settings import SweepSettings

OPTIONS = tuple(SweepSettings.model_fields)


def resume(folder: Path, overrides: Sequence[str]) -> int:
    """Run the cells that are queued or interrupted, and with `failed=true` those that failed.

    Args:
        folder: of the sweep.
        overrides: of `conf/sweep.yaml`.

    Returns:
        The exit code.

    Raises:
        GanvasError: if there is no sweep, another process runs it, or a value is refused.
    """
    settings = command_settings(SweepSettings, "sweep", str(folder), overrides)
    manifest = settled(folder)
    cells = [cell for cell in manifest.cells if _goes_on(cell, failed=settings.failed)]
    return run_cells(
        manifest,
        settings.launcher(manifest.content["launcher"]),
        cells=cells,
        trust=tuple(settings.trust),
    )


def add(folder: Path, overrides: Sequence[str]) -> int:
    """Add cells to a sweep and run them: its own overrides, with those given in their place.

    Args:
        folder: of the sweep.
        overrides: of the cells, as after `ganvas train -m`, and of `conf/sweep.yaml`.

    Returns:
        The exit code.

    Raises:
        GanvasError: if there is no sweep, another process runs it, a cell can't be run, or there
            is nothing new.
    """
    own = [o for o in overrides if o.partition("=")[0] in OPTIONS]
    settings = command_settings(SweepSettings, "sweep", str(folder), own)
    manifest = settled(folder)
    _, given = split_hydra([o for o in overrides if o not in own])
    if not given:
        raise ConfigError("sweep add: name what is new, e.g. `ganvas sweep add DIR seed=3,4`")
    keys = {_key(o) for o in given}
    kept = [o for o in manifest.content["overrides"] if _key(o) not in keys]
    planned = plan(sweep_jobs([*kept, *given]))
    before = len(manifest.cells)
    code = run_cells(
        manifest,
        settings.launcher(manifest.content["launcher"]),
        planned=planned,
        trust=tuple(settings.trust),
    )
    if len(manifest.cells) == before:
        raise RunError(f"{folder} has these {len(planned)} cells already; nothing was run")
    return code


def settled(folder: Path) -> Manifest:
    """A sweep that nobody runs, with the outcome of jobs whose driver was killed.

    Raises:
        RunError: there is no such sweep, or a process runs it.
    """
    manifest = Manifest.load(folder)
    with manifest.held():
        manifest.settle()
        manifest.save()
    return manifest


def _goes_on(cell: Cell, *, failed: bool) -> bool:
    return cell.state in ("queued", "interrupted") or (failed and cell.state == "failed")


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
