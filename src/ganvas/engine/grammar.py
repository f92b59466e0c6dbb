"""Hydra's grammar of overrides: parsed, sorted, and its errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.overrides_parser import OverrideParseException
    from hydra.core.override_parser.types import Override


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them, sweeps included.

    Raises:
        ConfigError: for a syntax error.
    """
    from hydra.core.override_parser.overrides_parser import (
        OverrideParseException,
        OverridesParser,
    )
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise ConfigError(syntax(error)) from error
    except HydraException as error:
        raise ConfigError(first_line(error)) from error


def sweep_jobs(
    overrides: Sequence[str], *, options: Callable[[str], list[str]] | None = None
) -> list[list[str]]:
    """The overrides of every job that Hydra's basic sweeper would make of `overrides`.

    Args:
        overrides: in Hydra's grammar.
        options: of a group, for `model=glob(*_vae)`.

    Raises:
        ConfigError: for a syntax error, a sweep without values, or an interval.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.errors import HydraException

    parsed = parse(overrides)
    for one in parsed:
        one.config_loader = _Groups(options)  # type: ignore[assignment]
        _check_values(one)
    try:
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise ConfigError(first_line(error)) from error
    return [job for batch in batches for job in batch]


def _check_values(one: Override) -> None:
    """A sweep over a key has values."""
    if one.is_interval_sweep():
        raise ConfigError(
            f"{one.input_line}: an interval has no list of values; search it with "
            "hydra/sweeper=optuna, or name the values"
        )
    if not one.is_sweep_override():
        return
    try:
        empty = not list(one.sweep_string_iterator())
    except ValueError as error:
        raise ConfigError(f"{one.input_line}: no values to sweep over ({error})") from error
    if empty:
        known = "glob(" in str(one.input_line)
        remedy = "see `ganvas list`" if known else "a range ends beyond its start: range(0,5)"
        raise ConfigError(f"{one.input_line}: has no values to sweep over; {remedy}")


class _Groups:
    """What Hydra's `glob` asks of its loader.

    Args:
        options: of a group.
    """

    def __init__(self, options: Callable[[str], list[str]] | None) -> None:
        self._options = options

    def get_group_options(self, group_name: str, results_filter: object = None) -> list[str]:
        """Sorted names; none where nobody knows them."""
        return sorted(self._options(group_name)) if self._options else []


def split_hydra(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of Hydra's own node, and the others."""
    own = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    return own, [o for o in overrides if o not in own]


def syntax(error: OverrideParseException) -> str:
    """What is wrong with the form of an override."""
    found = str(error).splitlines()[0].strip()
    return (
        f"`{error.override}`: not of the form key=value ({found}); quote values with spaces "
        "or brackets, as in 'notes=\"a [b]\"'"
    )


def first_line(error: Exception) -> str:
    """The first two lines of an error, as one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])


def resume_target(overrides: Sequence[str]) -> str | None:
    """The RUN of `resume=RUN`, if it is there.

    Raises:
        ConfigError: if it is empty, as an unset variable of the shell is; no new run is meant then.
    """
    found = [o.partition("=")[2].strip("'\"") for o in overrides if o.startswith("resume=")]
    if found and not found[-1]:
        raise ConfigError("resume=: must be a run's folder, got nothing; resume=null is a new run")
    return found[-1] if found and found[-1] != "null" else None
