"""Overrides of the small commands, composed and checked like those of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ganvas.engine.compose import compose, resolve
from ganvas.engine.settings import Section, validate
from ganvas.errors import ConfigError

S = TypeVar("S", bound=Section)


def command_settings(section: type[S], name: str, run: str, overrides: Sequence[str]) -> S:
    """`conf/<name>.yaml` with overrides and the run's folder (any characters), as a `section`.

    Among the overrides `--config-dir FOLDER` names a folder with more config groups.

    Raises:
        ConfigError: for an unknown key, a wrong type or a value out of range.
    """
    search, overrides = _searched(overrides)
    config = compose(overrides, name=name, search=search).config
    config.run = run
    return validate(section, resolve(config))


def _searched(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Folders of `--config-dir`, and the overrides."""
    search, overrides, rest = [], [], iter(arguments)
    for argument in rest:
        flag, given, folder = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            overrides.append(argument)
            continue
        search.append(folder if given else next(rest, ""))
        if not Path(search[-1]).is_dir() or not search[-1]:
            raise ConfigError(f"--config-dir: no such folder, got {search[-1]!r}")
    return search, overrides
