"""`ganvas COMMAND PATH… [key=value …]`: paths and options told apart."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import ConfigError, RunError

if TYPE_CHECKING:
    from ganvas.report.collect import Collection

_PASSED = ("full_error",)  # of every command


def split(
    arguments: Sequence[str], known: Sequence[str], *, usage: str
) -> tuple[list[Path], dict[str, str]]:
    """The paths and the options of a command line; what exists as a path is one, `=` or not.

    Raises:
        ConfigError: an option that is not known, is given twice or holds nothing, or no path.
    """
    paths: list[Path] = []
    options: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or "/" in key or Path(argument).expanduser().exists():
            if argument.startswith("-"):
                raise ConfigError(f"`{argument}`: no such flag; {usage}")
            paths.append(Path(argument).expanduser())
        elif key not in (*known, *_PASSED):
            from ganvas.report.asked import suggestion

            raise ConfigError(f"`{key}`: no such option{suggestion(key, known)}")
        elif key in options:
            raise ConfigError(f"{key}: given twice; {usage}")
        elif not value:
            raise ConfigError(f"{key}=: names nothing; give {key}=VALUE, or leave it out")
        else:
            options[key] = value
    if not paths:
        raise ConfigError(f"the command needs folders: {usage}")
    return paths, options


def one_of(key: str, options: dict[str, str], known: Sequence[str]) -> str:
    """An option's value, the first one where it was not given.

    Raises:
        ConfigError: for another value.
    """
    value = options.get(key, known[0])
    if value not in known:
        raise ConfigError(f"{key} must be one of {', '.join(known)}, got {value!r}")
    return value


def switch(key: str, options: dict[str, str]) -> bool:
    """Whether `key=true`.

    Raises:
        ConfigError: neither true nor false.
    """
    text = options.get(key, "false").lower()
    if text not in ("true", "1", "false", "0"):
        raise ConfigError(f"{key} must be true or false, got {options[key]!r}")
    return text in ("true", "1")


def found_runs(paths: Sequence[Path]) -> Collection:
    """The runs under some folders, and those that could not be read.

    Raises:
        RunError: there is none.
    """
    from ganvas.report.collect import read_runs
    from ganvas.report.words import printable

    collection = read_runs(
        paths, say=lambda line: print(f"ganvas: {line}", file=sys.stderr, flush=True)
    )
    if collection.runs:
        return collection
    readable = " that can be read" if collection.problems else ""
    told = (
        f"{', '.join(map(str, paths))}: no runs there{readable}; give run folders, sweep folders "
        "or folders of runs"
    )
    raise RunError("\n".join(map(printable, (told, *collection.problems))))
