"""What W&B shows of a run already, so that nothing is shown twice or never when it goes on.

W&B keeps what it is told in memory for a while: of a killed run, its file may lack the most.
"""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import RunError
from ganvas.tracking.files import read_run_json
from ganvas.tracking.tables import METRICS_FILE, AppendFile
from ganvas.tracking.wandb_records import items, records

if TYPE_CHECKING:
    import numpy as np

DRAWN_LATER = "latent/"
"""How names of pictures begin that tools draw of a trained run: shown anew each time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """What was written to `metrics.csv` at once."""

    step: int
    images_seen: int
    seconds: float
    values: dict[str, float]


@dataclass(frozen=True)
class Known:
    """What W&B was told of a run.

    Attributes:
        of_files: steps and names of figures and pictures in its own files.
        until: step up to which its server has all; -1 for none.
    """

    of_files: frozenset[tuple[int, str]] = frozenset()
    until: int = -1

    def has(self, step: int, name: str) -> bool:
        """Whether a figure or picture is shown already."""
        if name.startswith(DRAWN_LATER):
            return False
        return step <= self.until or (step, name) in self.of_files


def known(run_dir: Path, rows: list[Row], *, server_step: int | None) -> Known:
    """What earlier sessions of a run have shown.

    Where the last one was online, so that its server tells, the server's word counts and not what
    it was sent; where this one is offline, it is taken to have all that the record has. Of a run
    that was resumed with changes, nothing later than its record counts: that comes otherwise.

    Args:
        run_dir: of the run.
        rows: of its record.
        server_step: the last step that W&B's server has; None offline.
    """
    try:
        record = read_run_json(run_dir)
    except RunError:
        record = {}
    last = max((row.step for row in rows), default=-1)
    resumed = record.get("resumed") or [{}]
    valid = last if resumed[-1].get("changes") else sys.maxsize
    online = (record.get("wandb") or {}).get("mode") == "online"
    sessions = "offline-run-*" if online and server_step is not None else "*run-*"
    found = frozenset(key for key in _of_files(run_dir, sessions) if key[0] <= valid)
    return Known(found, (last if server_step is None else server_step) if online else -1)


def _of_files(run_dir: Path, sessions: str) -> Iterator[tuple[int, str]]:
    for file in sorted(run_dir.glob(f"wandb/{sessions}/run-*.wandb")):
        try:
            for record in records(file.read_bytes()):
                if record.WhichOneof("record_type") == "history":
                    row = items(record.history.item)
                    yield from ((int(row["step"]), name) for name in row if "step" in row)
        except Exception as error:  # another version's form: then it shows nothing, for us
            _log.debug("%s can't be read: %s", file, error)


def recorded_rows(run_dir: Path) -> list[Row]:
    """`metrics.csv`, in its order."""
    lines = csv.reader(AppendFile(run_dir / METRICS_FILE).lines()[1:])
    return [
        Row(int(step), int(images), float(seconds), {name: float(v) for *_, name, v in group})
        for (step, images, seconds), group in groupby(lines, key=lambda line: tuple(line[:3]))
    ]


def missing_pictures(
    run_dir: Path, rows: list[Row], told: Known
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Step, name and pixels of pictures in `samples/` that W&B lacks, up to the last row's step."""
    last = max((row.step for row in rows), default=-1)
    found = []
    for file in run_dir.glob("samples/*-*.png"):
        name, _, step = file.stem.rpartition("-")
        if step.isdigit() and int(step) <= last and not told.has(int(step), name):
            found.append((int(step), name, file))
    for at, name, file in sorted(found):
        yield at, name, _pixels(file)


def _pixels(picture: Path) -> np.ndarray:
    import numpy as np
    from PIL import Image

    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))
