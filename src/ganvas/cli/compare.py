"""`ganvas compare PATH…`: runs in groups, beside each other."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganvas.cli.arguments import found_runs, one_of, split, switch
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from ganvas.report.ranking import Asked, Comparison
    from ganvas.report.values import Which

OPTIONS = ("by", "metric", "value", "sort", "unfinished", "format", "out")
USAGE = f"ganvas compare PATH… [{' '.join(f'{name}=…' for name in OPTIONS)}]"
FORMATS = ("table", "csv", "markdown", "runs")
_BY_SUFFIX = {".csv": "csv", ".md": "markdown"}
_FILE_WIDTH = 160


@dataclass(frozen=True)
class _Typed:
    """The command's arguments: folders, what to compare, where it goes."""

    paths: list[Path]
    asked: Asked
    format: str
    out: Path | None


def compare(arguments: Sequence[str]) -> int:
    """Print or write the comparison; the exit code.

    Raises:
        GanvasError: for an unknown option, key or metric, no runs, or a file that can't be written.
    """
    typed = _parse(arguments)
    from ganvas.report.ranking import compare as compared

    comparison = compared(found_runs(typed.paths), typed.asked)
    if typed.out is None:
        _show(comparison, typed.format)
    else:
        _write(typed.out, _text(comparison, typed.format))
        print(typed.out)
    return 0


def _parse(arguments: Sequence[str]) -> _Typed:
    paths, options = split(arguments, OPTIONS, usage=USAGE)
    return _Typed(paths, _asked(options), *_target(options))


def _asked(options: dict[str, str]) -> Asked:
    from ganvas.report.ranking import Asked

    return Asked(
        by=_list("by", options),
        metrics=_list("metric", options),
        value=cast("Which", one_of("value", options, ("best", "final"))),
        unfinished=switch("unfinished", options),
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


def _target(options: dict[str, str]) -> tuple[str, Path | None]:
    out = Path(options["out"]).expanduser() if "out" in options else None
    by_suffix = _BY_SUFFIX.get(out.suffix.lower() if out else "", "table")
    form = one_of("format", options, FORMATS) if "format" in options else by_suffix
    return form, out


def _show(comparison: Comparison, form: str) -> None:
    from ganvas.report.table import print_comparison, remarks
    from ganvas.report.words import printable

    if form == "table":
        from rich.console import Console

        print_comparison(comparison, Console())
        return
    text = _text(comparison, form)
    if sys.stdout.isatty():  # a file gets names and values as they are, a terminal no commands
        text = "".join(f"{printable(line)}\n" for line in text.split("\n")[:-1])
    print(text, end="")
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
