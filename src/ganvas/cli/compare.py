"""`ganvas compare PATH…`: runs in groups, beside each other."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganvas.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from ganvas.report.ranking import Asked, Comparison
    from ganvas.report.values import Which

OPTIONS = ("by", "metric", "value", "sort", "unfinished", "format", "out", "full_error")
FORMATS = ("table", "csv", "markdown", "runs")
_BY_SUFFIX = {".csv": "csv", ".md": "markdown"}
_FILE_WIDTH = 160


@dataclass(frozen=True)
class _Typed:
    """The command's arguments: folders, what to compare, where it goes."""

    paths: list[str]
    asked: Asked
    format: str
    out: Path | None


def compare(arguments: Sequence[str]) -> int:
    """Print or write the comparison; the exit code.

    Raises:
        GanvasError: for an unknown option, key or metric, no runs, or a file that can't be written.
    """
    typed = _parse(arguments)
    from ganvas.report.collect import read_runs
    from ganvas.report.ranking import compare as compared

    collection = read_runs(typed.paths)
    if not collection.runs:
        found = "".join(f"\n{problem}" for problem in collection.problems)
        raise RunError(
            f"{', '.join(typed.paths)}: no runs there{found and ' that can be read'}; give run "
            f"folders, sweep folders or folders of runs{found}"
        )
    comparison = compared(collection, typed.asked)
    if typed.out is None:
        _show(comparison, typed.format)
    else:
        _write(typed.out, _text(comparison, typed.format))
        print(typed.out)
    return 0


def _parse(arguments: Sequence[str]) -> _Typed:
    paths: list[str] = []
    options: dict[str, str] = {}
    for argument in arguments:
        key, given, value = argument.partition("=")
        if not given or Path(argument).exists():
            if argument.startswith("-"):
                raise ConfigError(f"`{argument}`: no such flag; options are {_usage()}")
            paths.append(argument)
        elif key not in OPTIONS:
            from ganvas.report.asked import suggestion

            raise ConfigError(f"`{key}`: no such option{suggestion(key, OPTIONS[:-1])}")
        elif key in options:
            raise ConfigError(f"{key}: given twice; several values are one list: {key}=a,b")
        else:
            options[key] = value
    if not paths:
        raise ConfigError(f"compare needs folders: ganvas compare PATH… [{_usage()}]")
    return _Typed(paths, _asked(options), *_target(options))


def _usage() -> str:
    return " ".join(f"{name}=…" for name in OPTIONS[:-1])


def _asked(options: dict[str, str]) -> Asked:
    from ganvas.report.ranking import Asked

    return Asked(
        by=_list("by", options),
        metrics=_list("metric", options),
        value=cast("Which", _one_of("value", options, ("best", "final"))),
        unfinished=_one_of("unfinished", options, ("false", "true")) == "true",
        sort=options.get("sort"),
    )


def _list(key: str, options: dict[str, str]) -> tuple[str, ...] | None:
    """`a,b` or `[a,b]`."""
    if key not in options:
        return None
    text = options[key].strip()
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    names = tuple(name for part in inner.split(",") if (name := part.strip()))
    if not names:
        raise ConfigError(f"{key}={text}: names nothing; give {key}=NAME or {key}=[NAME,NAME]")
    return names


def _one_of(key: str, options: dict[str, str], known: Sequence[str]) -> str:
    """The first one where the option was not given."""
    value = options.get(key, known[0])
    if value not in known:
        raise ConfigError(f"{key} must be one of {', '.join(known)}, got {value!r}")
    return value


def _target(options: dict[str, str]) -> tuple[str, Path | None]:
    out = Path(options["out"]).expanduser() if options.get("out") else None
    if "out" in options and out is None:
        raise ConfigError("out=: names no file; give out=FILE, or leave it out")
    by_suffix = _BY_SUFFIX.get(out.suffix.lower() if out else "", "table")
    form = _one_of("format", options, FORMATS) if "format" in options else by_suffix
    return form, out


def _show(comparison: Comparison, form: str) -> None:
    from ganvas.report.table import print_comparison, remarks

    if form == "table":
        from rich.console import Console

        print_comparison(comparison, Console())
        return
    print(_text(comparison, form), end="")
    if form != "markdown":  # there they are part of the text
        for line in remarks(comparison):
            print(f"ganvas: {line}", file=sys.stderr)


def _text(comparison: Comparison, form: str) -> str:
    from ganvas.report import written
    from ganvas.report.table import print_comparison

    if form == "csv":
        return written.to_csv(comparison)
    if form == "runs":
        return written.runs_to_csv(comparison.runs)
    if form == "markdown":
        return written.to_markdown(comparison)
    buffer = io.StringIO()
    print_comparison(comparison, _file_console(buffer))
    return buffer.getvalue()


def _file_console(buffer: io.StringIO) -> Console:
    from rich.console import Console

    return Console(file=buffer, width=_FILE_WIDTH, color_system=None)


def _write(file: Path, text: str) -> None:
    from ganvas.tracking.files import write_atomic

    if file.exists() and not file.is_file():
        raise ConfigError(
            f"out={file}: must be a file, and there is something else; choose another"
        )
    try:
        write_atomic(file, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"out={file}: can't be written ({reason}); choose another place"
        ) from error
