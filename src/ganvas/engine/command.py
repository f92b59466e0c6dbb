"""Overrides of the small commands, composed and checked like those of training."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

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
    search, overrides = searched(overrides)
    config = compose(overrides, name=name, search=search).config
    config.run = ""  # the folder's own name may look like an interpolation
    return validate(section, {**resolve(config), "run": run})


def searched(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Folders of `--config-dir`, and the overrides.

    Raises:
        ConfigError: for another flag, or a folder that is not there.
    """
    search, overrides, rest = [], [], iter(arguments)
    for argument in rest:
        flag, given, folder = argument.partition("=")
        if flag not in ("--config-dir", "-cd"):
            if flag.startswith("-"):
                raise ConfigError(f"`{flag}`: no such flag; there is --config-dir FOLDER")
            if flag == "run":
                raise ConfigError(f"{argument}: the run is named already")
            overrides.append(argument)
            continue
        search.append(folder if given else next(rest, ""))
        if not Path(search[-1]).is_dir() or not search[-1]:
            raise ConfigError(f"--config-dir: no such folder, got {search[-1]!r}")
    return search, overrides


def as_override(value: Any) -> str:
    """A Python value in Hydra's grammar, with all strings quoted.

    Raises:
        ConfigError: for a value that can't be written down.
    """
    match value:
        case str() | Path():
            return _quoted(str(value))
        case None | bool() | int() | float():
            return "null" if value is None else str(value).lower()
        case Mapping():
            return "{" + ",".join(f"{k}:{as_override(v)}" for k, v in value.items()) + "}"
        case Sequence():
            return "[" + ",".join(map(as_override, value)) + "]"
    raise ConfigError(
        f"a value must be a number, a text, a list or a mapping, got {type(value).__name__}"
    )


def _quoted(text: str) -> str:
    """In double quotes, with `"`, an interpolation's `${` and backslashes before them escaped."""
    whole = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)
    return '"' + re.sub(r'(\\*)("|$)', _escaped, whole) + '"'


def _escaped(found: re.Match[str]) -> str:
    return 2 * found[1] + (r"\"" if found[2] else "")
