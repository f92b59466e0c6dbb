"""The two growing tables of a run: `metrics.csv` (long) and `trace.csv` (wide)."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from ganvas.errors import RunError
from ganvas.tracking.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

METRICS_FILE = "metrics.csv"
TRACE_FILE = "trace.csv"
METRICS_COLUMNS = ("step", "images_seen", "seconds", "name", "value")


@final
class AppendFile:
    """A text file that grows by whole lines: each append is there in full or not at all.

    An unfinished last line, left by a process killed in the midst of a write, is cut off when
    the file is opened. Nothing is created before the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def append(self, text: str) -> None:
        """Adds complete lines and hands them to the operating system.

        Raises:
            OSError: they could not be written; the file is as it was before.
        """
        if self._fd < 0:
            self._open()
        size = os.fstat(self._fd).st_size
        data = memoryview(text.encode())
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    def replace(self, lines: Iterable[str]) -> None:
        """Puts other lines in place of the file's, in one step."""
        self.close()
        write_atomic(self.path, "".join(lines).encode())

    def lines(self) -> list[str]:
        """The complete lines, each with its line end; empty where there is no file yet."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return [line for line in file if line.endswith("\n")]

    def close(self) -> None:
        """Gives the file back; the next append opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._fd = os.open(self.path, flags, 0o644)
        size = os.fstat(self._fd).st_size
        start, tail = size, b""
        while start and b"\n" not in tail:
            start = max(0, start - 4096)
            tail = os.pread(self._fd, size - start, start)
        os.ftruncate(self._fd, start + tail.rfind(b"\n") + 1)


@final
class MetricsTable:
    """`metrics.csv`: one row per value, in full float precision, NaN as `nan`."""

    def __init__(self, folder: Path) -> None:
        self._file = AppendFile(folder / METRICS_FILE)
        self._new = not self._file.lines()[:1]

    def append(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Adds the values of one step."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if self._new:
            writer.writerow(METRICS_COLUMNS)
        when = (int(step), int(images_seen), float(seconds))
        writer.writerows((*when, name, float(value)) for name, value in values.items())
        self._file.append(buffer.getvalue())
        self._new = False

    def truncate(self, step: int) -> None:
        """Drops the rows of later steps, and what was tested at the end: that comes again."""
        _drop_after(self._file, step, also=lambda line: line.split(",", 4)[3].startswith("test/"))

    def rows(self) -> Iterable[tuple[int, str, float]]:
        """(step, name, value) in the order they were logged."""
        for row in csv.DictReader(self._file.lines()):
            yield int(row["step"]), row["name"], float(row["value"])

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()


@final
class TraceTable:
    """`trace.csv`: one row per step, one column per loss part, empty where a part was absent.

    A part that first appears later widens the table: the file is rewritten once, with empty
    cells in the rows before.
    """

    def __init__(self, folder: Path) -> None:
        self._file = AppendFile(folder / TRACE_FILE)
        header = self._file.lines()[:1]
        self._columns: list[str] = next(csv.reader(header))[1:] if header else []

    def append(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Adds consecutive steps.

        Raises:
            RunError: a column is not as long as `steps`.
        """
        for name, column in columns.items():
            if len(column) != len(steps):
                raise RunError(
                    f"trace column {name!r} must have one value per step: "
                    f"got {len(column)} values for {len(steps)} steps"
                )
        if new := [name for name in columns if name not in self._columns]:
            self._widen(new)
        cells = [_cells(columns.get(name), len(steps)) for name in self._columns]
        rows = zip(map(str, map(int, steps)), *cells, strict=True)
        self._file.append("".join([",".join(row) + "\n" for row in rows]))

    def _widen(self, new: list[str]) -> None:
        self._columns += new
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(["step", *self._columns])
        blank = "," * len(new) + "\n"
        rows = self._file.lines()[1:]
        if rows:
            self._file.replace([buffer.getvalue(), *(row[:-1] + blank for row in rows)])
        else:
            self._file.replace([buffer.getvalue()])

    def truncate(self, step: int) -> None:
        """Drops the rows of later steps."""
        _drop_after(self._file, step)

    def close(self) -> None:
        """Gives the file back."""
        self._file.close()


def _cells(column: Sequence[float] | None, length: int) -> list[str]:
    if column is None:
        return [""] * length
    return ["" if math.isnan(value) else repr(value) for value in map(float, column)]


def _drop_after(
    file: AppendFile, step: int, *, also: Callable[[str], bool] = lambda line: False
) -> None:
    header, rows = file.lines()[:1], file.lines()[1:]
    kept = [row for row in rows if int(row.split(",", 1)[0]) <= step and not also(row)]
    if len(kept) < len(rows):
        file.replace([*header, *kept])


def metrics_frame(path: Path | str) -> pd.DataFrame:
    """The metrics of a run as a table.

    Args:
        path: the run folder, or its `metrics.csv`.

    Returns:
        Index `step`; columns `images_seen`, `seconds` and one per metric, NaN where a metric
        was not logged at that step. Of a value logged twice for one step the last one counts.

    Raises:
        RunError: the run has no metrics yet, or the file is damaged.
    """
    import pandas as pd

    file = Path(path)
    file = file if file.name == METRICS_FILE else file / METRICS_FILE
    lines = AppendFile(file).lines()
    if not lines:
        raise RunError(f"{file} has no metrics; the run may have ended before its first log")
    try:
        rows = [
            (int(step), int(images), float(seconds), name, float(value))
            for step, images, seconds, name, value in csv.reader(lines[1:])
        ]
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}; restore it or choose another run") from error
    long = pd.DataFrame(rows, columns=list(METRICS_COLUMNS))
    when = long.groupby("step")[["images_seen", "seconds"]].last()
    last = long.drop_duplicates(["step", "name"], keep="last")
    wide = last.set_index(["step", "name"])["value"].unstack("name")
    names = list(dict.fromkeys(long["name"]))
    wide.columns.name = None
    return when.join(wide[names])
