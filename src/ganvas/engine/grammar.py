"""Hydra's grammar of overrides: parsed, sorted, and its errors in one line."""

from __future__ import annotations

from collections.abc import Sequence
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


def sweep_jobs(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job that Hydra's basic sweeper would make of `overrides`.

    Raises:
        ConfigError: for a syntax error, a range without steps, or an interval.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.errors import HydraException

    parsed = parse(overrides)
    for one in parsed:
        if one.is_interval_sweep():
            raise ConfigError(
                f"{one.input_line}: an interval has no list of values; search it with "
                "hydra/sweeper=optuna, or name the values"
            )
    try:
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise ConfigError(first_line(error)) from error
    return [job for batch in batches for job in batch]


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
