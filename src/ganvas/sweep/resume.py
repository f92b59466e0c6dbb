"""Going on with a sweep, and adding cells to it; nothing that is done is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ganvas.engine.command import as_override, command_settings, searched
from ganvas.engine.grammar import split_hydra, sweep_jobs
from ganvas.engine.targets import trusted_modules
from ganvas.errors import ConfigError, RunError
from ganvas.sweep.cells import fresh, labels, plan
from ganvas.sweep.launch import run_cells
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.outcome import ending, settle
from ganvas.sweep.search_launch import refuse_adding, resume_search
from ganvas.sweep.search_plan import STUDY
from ganvas.sweep.settings import SweepSettings
from ganvas.sweep.slurm_driver import refresh
from ganvas.sweep.voice import say
from ganvas.tracking.redact import REDACTED

OPTIONS = tuple(SweepSettings.model_fields)
PATIENCE_SECONDS = 60.0
"""What jobs whose driver was killed have to end in; twice of what they take."""


def resume(folder: Path, overrides: Sequence[str]) -> int:
    """Run the cells that are queued or interrupted, and with `failed=true` those that failed.

    Args:
        folder: of the sweep.
        overrides: of `conf/sweep.yaml`.

    Returns:
        The exit code.

    Raises:
        GanvasError: if there is no sweep, another process runs it, or a value is refused.
        SweepStopped: `sweep.json` can't be written any more.
    """
    _refuse_hydra(overrides)
    settings = command_settings(SweepSettings, "sweep", str(folder), overrides)
    with _settled(folder) as manifest:
        trust = _trusted(manifest, settings.trust)
        cells = [cell for cell in manifest.cells if _goes_on(cell, failed=settings.failed)]
        if STUDY in manifest.content:
            return resume_search(manifest, settings, cells=cells, trust=trust)
        if settings.trials is not None:
            raise ConfigError("trials: of a search (hydra/sweeper=optuna), which this sweep is not")
        return run_cells(
            manifest,
            settings.launcher(manifest.content["launcher"]),
            cells=cells,
            trust=trust,
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
        SweepStopped: `sweep.json` can't be written any more.
    """
    search, typed = searched(overrides)
    _refuse_hydra(typed)
    own = [o for o in typed if _key(o) in OPTIONS]
    given = [o for o in typed if o not in own]
    settings = command_settings(SweepSettings, "sweep", str(folder), own)
    if settings.failed:
        raise ConfigError("failed=true: of `ganvas sweep resume DIR`; adding runs new cells only")
    if not given:
        raise ConfigError("sweep add: name what is new, e.g. `ganvas sweep add DIR seed=3,4`")
    with _settled(folder) as manifest:
        refuse_adding(manifest)
        trust = _trusted(manifest, settings.trust)
        trusted = [f"trust={as_override(list(trust))}"] if trust else []
        jobs = sweep_jobs([*_kept(manifest, given), *given, *trusted])
        old = [cell.overrides for cell in manifest.cells]
        planned = plan(jobs, search=_search(manifest, search), beside=old, trust=trust)
        new = fresh(manifest, planned)
        if not new:
            raise RunError(f"{folder} has these {len(planned)} cells already; nothing was run")
        if num := len(planned) - len(new):
            say(f"{num} of these {len(planned)} cells are there already and stay as they are")
        told = labels([*old, *(one.overrides for one in new)])
        for cell, label in zip(manifest.cells, told, strict=False):
            cell.label = label
        launcher = settings.launcher(manifest.content["launcher"])
        return run_cells(manifest, launcher, planned=new, trust=trust)


def _kept(manifest: Manifest, given: Sequence[str]) -> list[str]:
    """What the sweep was begun with, less what is given anew; trust is never taken from a file.

    Raises:
        ConfigError: for a secret, which was not written down.
    """
    keys = {_key(o) for o in given} | {"trust"}
    kept = [o for o in manifest.content["overrides"] if _key(o) not in keys]
    for override in kept:
        if REDACTED in override:
            raise ConfigError(f"`{override}`: a secret is not written down; give it again")
    return kept


def _search(manifest: Manifest, given: Sequence[str]) -> list[str]:
    """Folders with more config groups: those of the sweep's beginning, and those given now.

    Raises:
        ConfigError: if one is not there any more, and none is given.
    """
    recorded = [str(place) for place in manifest.content.get("search", [])]
    lost = [place for place in recorded if not Path(place).is_dir()]
    if lost and not given:
        raise ConfigError(
            f"--config-dir: the sweep was begun with {lost[0]}, which is not there; give it anew"
        )
    return [*(place for place in recorded if place not in lost), *given]


def _trusted(manifest: Manifest, given: Sequence[str]) -> tuple[str, ...]:
    """Trusted modules of this command and of the environment.

    Raises:
        ConfigError: if the sweep was begun with others, too.
    """
    trust = trusted_modules(given)
    lacking = [m for m in manifest.content.get("trust", []) if m not in trust]
    if lacking:
        named = ",".join([*trust, *lacking])
        raise ConfigError(
            f"trust: this sweep was begun with trust in {', '.join(lacking)}, and a file is not "
            f"taken at its word; where that is your own code, add trust=[{named}]"
        )
    return trust


def _refuse_hydra(overrides: Sequence[str]) -> None:
    for override in split_hydra(overrides)[0]:
        key = _key(override).removeprefix("hydra.launcher.")
        known = key in OPTIONS
        remedy = f"write {key}={override.partition('=')[2]}" if known else "leave it out"
        raise ConfigError(f"{override}: a sweep goes on as it was begun; {remedy}")


@contextmanager
def _settled(folder: Path) -> Iterator[Manifest]:
    """A sweep, held, with the outcome of jobs whose driver was killed; waits for these to end.

    Raises:
        RunError: there is no such sweep, or a process runs it.
    """
    manifest = Manifest.load(folder)
    _check_links(manifest)
    with manifest.held():
        manifest.reload()
        refresh(manifest)
        _await_jobs(manifest)
        settle(manifest)
        manifest.save()
        yield manifest


def _check_links(manifest: Manifest) -> None:
    """Nothing that a driver or a job writes to leads out of the sweep's folder.

    Raises:
        RunError: something is a link to another place.
    """
    folder = manifest.folder
    runs = [folder / attempt.run for cell in manifest.cells for attempt in cell.attempts]
    for place in [*folder.glob("*"), *folder.glob("logs/*"), *runs]:
        if not place.resolve().is_relative_to(folder):
            raise RunError(
                f"{place} is a link out of the sweep's folder, where nothing is written; put what "
                "it leads to in its place"
            )


def _await_jobs(manifest: Manifest) -> None:
    """Jobs whose driver was killed write their checkpoints and end by themselves."""
    end = time.monotonic() + PATIENCE_SECONDS
    told: set[int] = set()
    while (jobs := ending(manifest)) and time.monotonic() < end:
        for cell, process in jobs:
            if cell.index not in told:
                what = f"cell {cell.index} (process {process})"
                say(f"waiting for {what} to write its checkpoint and end", error=True)
                told.add(cell.index)
        time.sleep(0.1)


def _goes_on(cell: Cell, *, failed: bool) -> bool:
    return cell.state in ("queued", "interrupted") or (failed and cell.state == "failed")


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")
