"""Validation values of a run that is still being trained."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import final

from ganvas.tracking.tables import METRICS_FILE


@final
class Validations:
    """Values of one metric in `metrics.csv`, of which only what is new is read.

    Args:
        folder: of the run.
        metric: its full name.
        run: what tells this run from an earlier attempt.
    """

    def __init__(self, folder: Path, metric: str, *, run: str) -> None:
        self.run = run
        self._file, self._metric = folder / METRICS_FILE, metric
        self._offset, self._inode = 0, -1
        self._values: dict[int, float] = {}

    def since(self, number: int) -> Iterator[tuple[int, tuple[int, float]]]:
        """(count from 1, (step, value)) of each validation after the first `number` ones."""
        self._read()
        steps = sorted(self._values)
        for count, step in enumerate(steps[number:], start=number + 1):
            yield count, (step, self._values[step])

    def _read(self) -> None:
        try:
            with self._file.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._offset, self._inode = 0, status.st_ino  # rewritten when it was resumed
                    self._values.clear()
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for row in csv.reader(whole.decode(errors="replace").splitlines()):
            if len(row) == 5 and row[3] == self._metric:  # noqa: PLR2004
                self._values[int(row[0])] = float(row[4])
