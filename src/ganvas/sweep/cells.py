"""From overrides to cells: each composed, checked and frozen before the first one runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.check import check_composed, check_ready
from ganvas.engine.compose import compose
from ganvas.errors import ConfigError, GanvasError, RunError
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.tracking import config_hash, redact, redact_text
from ganvas.tracking.redact import REDACTED

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked


@dataclass(frozen=True)
class Planned:
    """A cell that was found good and is not yet in a manifest.

    Attributes:
        overrides: as one would type them.
        label: those that tell it from the others.
        checked: its config.
    """

    overrides: tuple[str, ...]
    label: str
    checked: Checked


def plan(
    jobs: Sequence[Sequence[str]],
    *,
    search: Sequence[str | Path] = (),
    data: bool = True,
    beside: Sequence[Sequence[str]] = (),
    trust: Sequence[str] | None = None,
) -> list[Planned]:
    """Compose and check every cell.

    Args:
        jobs: overrides of each.
        search: more folders with config groups.
        data: look at images too, as training will.
        beside: overrides of cells that are in the sweep already; labels tell all of them apart.
        trust: trusted modules, whatever the jobs say; None for those that they name.

    Raises:
        ConfigError: every cell that can't be run, and why; cells that are the same.
    """
    known: dict[str, ImageData] = {}

    def check(job: Sequence[str]) -> Checked:
        checked = check_composed(compose(list(job), search=search), trust=trust)
        if data and not checked.settings.check:
            check_ready(checked, known=known)
        return checked

    names = labels([*beside, *jobs])[len(beside) :]
    found, faults = _each(jobs, names, check)
    if faults:
        head = [f"{len(jobs) - len(found)} of {len(jobs)} cells can't be run:"]
        raise ConfigError("\n".join([*head, *faults]))
    planned = [Planned(tuple(j), n, c) for j, n, c in zip(jobs, names, found, strict=True)]
    _refuse_twins(planned)
    return planned


def _each(
    jobs: Sequence[Sequence[str]], names: Sequence[str], check: Callable[[Sequence[str]], Checked]
) -> tuple[list[Checked], list[str]]:
    """What was found good, and one or two lines for each cell that was not; equal faults once."""
    found, faults = [], dict[str, list[str]]()
    for job, name in zip(jobs, names, strict=True):
        try:
            found.append(check(job))
        except GanvasError as error:
            faults.setdefault(str(error), []).append(f"`{name or ' '.join(job)}`")
    return found, [f"{', '.join(cells)}:\n  {text}" for text, cells in faults.items()]


def _refuse_twins(planned: Sequence[Planned]) -> None:
    first: dict[str, Planned] = {}
    for cell in planned:
        twin = first.setdefault(_identity(cell), cell)
        if twin is not cell:
            raise ConfigError(
                f"the cells `{' '.join(twin.overrides)}` and `{' '.join(cell.overrides)}` are the "
                "same; name each value once"
            )


def _identity(one: Planned) -> str:
    return config_hash(redact(one.checked.config))


def labels(jobs: Sequence[Sequence[str]]) -> list[str]:
    """By which overrides each job differs from the others; all of them where none does."""
    split = [dict(_parted(override) for override in job) for job in jobs]
    keys = list(dict.fromkeys(key for job in split for key in job))
    varied = [key for key in keys if len({job.get(key) for job in split}) > 1] or keys
    return [" ".join(job[key] for key in varied if key in job) for job in split]


def _parted(override: str) -> tuple[str, str]:
    """An override's key, and how it is shown: `+a=1` like `a=1`, as it sets the same."""
    shown = override.lstrip("+")
    return shown.partition("=")[0].lstrip("~"), shown


def fresh(manifest: Manifest, planned: Sequence[Planned]) -> list[Planned]:
    """Those that the sweep does not have."""
    present = {cell.config_hash for cell in manifest.cells}
    return [one for one in planned if _identity(one) not in present]


def add_cells(
    manifest: Manifest, planned: Sequence[Planned]
) -> tuple[list[Cell], dict[int, tuple[dict[str, Any], dict[str, str]]]]:
    """Freezes cells into a manifest, which is not saved yet; those that it has are left out.

    Returns:
        The new cells, and by their index what they run with.
    """
    added, configs = [], {}
    for one in fresh(manifest, planned):
        config = _shown_as_sweep(one, sweep=manifest.name)
        cell = Cell(
            index=len(manifest.cells),
            overrides=[redact_text(override) for override in one.overrides],
            label=redact_text(one.label),
            name=str(one.checked.settings.name),
            config_hash=_identity(one),
        )
        manifest.freeze(cell, config, one.checked.choices)
        configs[cell.index] = (config, one.checked.choices)
        added.append(cell)
    return added, configs


def _shown_as_sweep(one: Planned, *, sweep: str) -> dict[str, Any]:
    """The config with a logger that shows the cell in its sweep's group, where it can."""
    logger = dict(one.checked.config.get("logger") or {})
    shown = {"group": sweep, "name": redact_text(one.label)}
    logger.update({k: v for k, v in shown.items() if k in logger and logger[k] is None})
    return {**one.checked.config, "logger": logger}


def thawed(
    manifest: Manifest, cell: Cell, *, trust: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a cell was frozen with; secrets, which are never written down, are composed anew.

    Args:
        manifest: of the sweep.
        cell: of it.
        trust: trusted modules.

    Raises:
        RunError: its file is missing or was changed, or a secret can't be had again.
    """
    config, choices = manifest.frozen(cell)
    if REDACTED not in json.dumps(config):
        return config, choices
    lacking = RunError(
        f"cell {cell.index} ({cell.label}): lacks a secret, which is never written down; train it "
        "by itself, or keep the secret in the environment and name it by ${oc.env:NAME}"
    )
    if any(REDACTED in override for override in cell.overrides):
        raise lacking
    try:
        composed = compose(cell.overrides, search=manifest.content.get("search", []))
        again = check_composed(composed, trust=trust)
    except ConfigError as error:
        raise lacking from error
    if config_hash(redact(again.config)) != cell.config_hash:
        raise lacking
    return _filled(config, again.config), choices


def _filled(kept: Any, again: Any) -> Any:
    """`kept` with what was redacted in it."""
    if isinstance(kept, str) and REDACTED in kept:
        return again
    if isinstance(kept, dict) and isinstance(again, dict):
        return {key: _filled(value, again.get(key, value)) for key, value in kept.items()}
    if isinstance(kept, list) and isinstance(again, list) and len(kept) == len(again):
        return [_filled(mine, other) for mine, other in zip(kept, again, strict=True)]
    return kept
