"""What a dashboard shows of a folder: read anew when files change, and no more often than is cheap.

A poll costs one walk over the folder and four `stat` calls per run. Only when one of these differs
are records read; curves are read of those runs alone whose `metrics.csv` differs. Reading rests
for `_REST` times as long as it took, so that a page left open takes no processor from training.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganvas.errors import RunError
from ganvas.report.cells import MANIFEST
from ganvas.report.collect import Collection, Curve, RunView, read_runs
from ganvas.report.payload import payload
from ganvas.report.pictures import FIRST_KINDS, FOLDER, Embedded, find_pictures, spread
from ganvas.report.search import search_of
from ganvas.tracking import holder
from ganvas.tracking.files import RUN_FILE
from ganvas.tracking.tables import METRICS_FILE

_WATCHED = (RUN_FILE, METRICS_FILE, "config.yaml", FOLDER)
_READ = (RUN_FILE, METRICS_FILE, "config.yaml", "overrides.yaml", MANIFEST)
_REST = 5.0
_MAX_PICTURES = 30_000  # of all runs: their addresses are part of what is polled
_MAX_STEPS = 24


@dataclass(frozen=True)
class Snapshot:
    """The folder at one moment.

    Attributes:
        etag: changes with the content.
        data: `data.json`.
        zipped: the same, compressed.
        pictures: the files that may be asked for, by run and file name.
    """

    etag: str
    data: bytes
    zipped: bytes
    pictures: Mapping[tuple[str, str], Path]


class LiveFolder:
    """A folder of runs that may be growing; nothing in it is ever written.

    Args:
        root: the folder.
        title: of the page.
    """

    def __init__(self, root: Path, *, title: str) -> None:
        self.root = root.resolve()
        self._title = title
        self._lock = threading.Lock()
        self._seen: object = None
        self._running: set[str] = set()
        self._snapshot: Snapshot | None = None
        self._curves: dict[Path, tuple[object, dict[str, Curve]]] = {}
        self._searches: dict[Path, tuple[object, dict[str, Any] | None]] = {}
        self._rest_until = 0.0

    def snapshot(self) -> Snapshot:
        """The newest state, or the last one while reading rests."""
        with self._lock:
            if self._snapshot is not None and time.monotonic() < self._rest_until:
                return self._snapshot
            begin = time.monotonic()
            seen = tuple(self._marks())
            if self._snapshot is None or seen != self._seen:
                self._snapshot, self._seen = self._read(), seen
            end = time.monotonic()
            self._rest_until = end + _REST * (end - begin)
            return self._snapshot

    def latest(self) -> Snapshot:
        """The last state read: what a page that shows it may ask for."""
        return self._snapshot or self.snapshot()

    def _marks(self) -> Iterator[tuple[Any, ...]]:
        for place, below, names in os.walk(self.root):
            if RUN_FILE in names:
                below.clear()
                held = _held(place) if place in self._running else None
                yield (place, held, *(_mark(Path(place, name)) for name in _WATCHED))
            elif MANIFEST in names:
                yield place, _mark(Path(place, MANIFEST))

    def _read(self) -> Snapshot:
        try:
            collection = self._inside(read_runs([self.root]))
        except RunError as error:  # the folder was moved away; it may come back
            collection = Collection((), (str(error),), self.root)
        self._running = {str(run.path) for run in collection.runs if run.status == "running"}
        pictures: dict[tuple[str, str], Path] = {}

        def linked(runs: Sequence[RunView], budget: int) -> Embedded:
            del budget
            return _linked(runs, pictures)

        value = payload(
            collection,
            title=self._title,
            live=True,
            read_curves=self._read_curves,
            read_pictures=linked,
            read_search=self._read_search,
        )
        made = value.pop("made")  # the time alone is no news
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
        data = json.dumps({**value, "made": made}, separators=(",", ":"), allow_nan=False).encode()
        return Snapshot(etag, data, gzip.compress(data, compresslevel=1), pictures)

    def _inside(self, collection: Collection) -> Collection:
        """Less the runs with files that are links out of the folder: they could show any file."""
        runs, problems = [], list(collection.problems)
        for run in collection.runs:
            files = [run.path / name for name in _READ]
            if all(file.resolve().is_relative_to(self.root) for file in files):
                runs.append(run)
            else:
                problems.append(f"{run.place}: holds links out of the folder; it is not shown")
        return replace(collection, runs=tuple(runs), problems=tuple(problems))

    def _read_curves(self, run: RunView) -> Mapping[str, Curve]:
        mark = _mark(run.path / METRICS_FILE)
        known = self._curves.get(run.path)
        if known is None or known[0] != mark:
            known = self._curves[run.path] = (mark, run.curves())
        return known[1]

    def _read_search(self, folder: Path) -> dict[str, Any] | None:
        """Of a manifest that differs: each trial that begins or ends is written there."""
        mark = _mark(folder / MANIFEST)
        known = self._searches.get(folder)
        if known is None or known[0] != mark:
            known = self._searches[folder] = (mark, search_of(folder))
        return known[1]


def _mark(file: Path) -> tuple[int, int, int] | None:
    """Differs when a file was replaced, or grew; of a folder when its list of files did."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _held(place: str) -> bool:
    """Whether a process holds the run: one that is killed changes no file."""
    try:
        return holder(place) is not None
    except OSError:
        return False


def _linked(runs: Sequence[RunView], pictures: dict[tuple[str, str], Path]) -> Embedded:
    """Addresses of pictures; the files that they stand for are added to `pictures`."""
    shown: dict[str, dict[str, list[dict[str, Any]]]] = {}
    problems: list[str] = []
    steps = max(2, min(_MAX_STEPS, _MAX_PICTURES // max(1, len(FIRST_KINDS) * len(runs))))
    for run in runs:
        for kind, found in (find_pictures(run.path, problems) if run.facts else {}).items():
            for picture in spread(found, steps):
                name = picture.path.name
                pictures[run.id, name] = picture.path
                source = f"pictures/{_quoted(run.id)}/{_quoted(name)}"
                entry = {"step": picture.step, "src": source}
                shown.setdefault(run.id, {}).setdefault(kind, []).append(entry)
    return Embedded(shown, tuple(problems), ())


def _quoted(name: str) -> str:
    """As one part of an address; a file's name may be no text."""
    return quote(os.fsencode(name), safe="")
