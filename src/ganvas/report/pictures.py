"""Grids of samples and reconstructions, made small enough to travel inside a report.

Rule: a *fit* says how many pixels a picture's longer side may have and how many steps of each run
are kept (the last one; then the first; then evenly between). Of `FITS`, the first one is taken
whose pictures, estimated from a few of them, go into the budget, and are at most `MAX_PICTURES`;
only the last fits leave out what is neither a sample nor a reconstruction. A picture is reduced by
a whole factor, so that pixels which were enlarged stay sharp, and is written as WebP, lossy or
lossless, whichever is smaller. Where even the last fit is too large, runs are served in the order
given until the budget is spent; the notes say how many had to go without.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = "samples"
FIRST_KINDS = ("samples", "reconstructions")
MAX_PICTURES = 1200
"""More take too long to make; only one step of every run goes beyond."""

MAX_PIXELS = 40_000_000
"""A picture of more is no grid of ours, and would take minutes to decode."""

_FILE = re.compile(r"(?P<kind>.+)-(?P<step>\d{1,18})\.png")
_QUALITY = 75
_SPARSE = 0.05  # bytes per pixel: less than lossy compression needs
_PROBES = 4
_SAFETY = 1.15  # of an estimate that rests on `_PROBES` runs
_PREFIX = "data:image/webp;base64,"


@dataclass(frozen=True)
class Picture:
    """One grid of one run: `samples/<kind>-<step>.png`."""

    kind: str
    step: int
    path: Path


@dataclass(frozen=True)
class Fit:
    """How large pictures may be (pixels of the longer side) and how many steps are kept."""

    side: int
    steps: int
    all_kinds: bool = True


FITS = (
    Fit(640, 24),
    Fit(640, 12),
    Fit(280, 12),
    Fit(280, 6),
    Fit(200, 6),
    Fit(200, 4, all_kinds=False),
    Fit(200, 2, all_kinds=False),
    Fit(200, 1, all_kinds=False),
    Fit(140, 1, all_kinds=False),
    Fit(110, 1, all_kinds=False),
)


@dataclass(frozen=True)
class Embedded:
    """Pictures by run and kind as the page reads them, and what a reader must be told.

    Attributes:
        pictures: run id to kind to `[{"step": int, "src": data URI}]`, steps ascending.
        problems: one line per picture that could not be read.
        notes: one line on what was left out for its size.
    """

    pictures: Mapping[str, Mapping[str, list[dict[str, Any]]]]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def find_pictures(folder: Path, problems: list[str]) -> dict[str, list[Picture]]:
    """The pictures of a run by kind, samples and reconstructions first, steps ascending.

    Args:
        folder: the run's.
        problems: gets a line where a link leads out of the folder: it could show any file, so it
            is not followed.
    """
    found: dict[str, list[Picture]] = {}
    try:
        files = list(os.scandir(folder / FOLDER))
        if _leads_out(folder / FOLDER, folder) or any(
            _leads_out(Path(entry), folder) for entry in files if entry.is_symlink()
        ):
            problems.append(f"{folder / FOLDER} holds links out of the run; no picture is shown")
            return {}
    except OSError:
        return {}
    for entry in files:
        match = _FILE.fullmatch(entry.name)
        if match and entry.is_file():
            picture = Picture(match["kind"], int(match["step"]), Path(entry.path))
            found.setdefault(picture.kind, []).append(picture)
    order = sorted(found, key=lambda kind: (kind not in FIRST_KINDS, kind != "samples", kind))
    return {kind: sorted(found[kind], key=lambda p: (p.step, p.path.name)) for kind in order}


def _leads_out(path: Path, folder: Path) -> bool:
    return not path.resolve().is_relative_to(folder.resolve())


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of them: the last; first and last; or those and evenly between."""
    if count <= 1 or len(items) <= count:
        return list(items) if len(items) <= count else list(items[-1:])
    last = len(items) - 1
    return [items[round(i * last / (count - 1))] for i in range(count)]


def chosen(kinds: Mapping[str, Sequence[Picture]], fit: Fit) -> list[Picture]:
    """The pictures of one run that a fit keeps."""
    kept = [kind for kind in kinds if fit.all_kinds or kind in FIRST_KINDS]
    return [picture for kind in kept for picture in spread(kinds[kind], fit.steps)]


def encode(path: Path, *, side: int) -> bytes:
    """A picture as WebP, reduced by a whole factor until its longer side has at most `side` pixels.

    Raises:
        OSError, ValueError: it is no picture, is damaged, or has too many pixels.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            if file.width * file.height > MAX_PIXELS:
                raise ValueError(f"{file.width} × {file.height} pixels are too many")
            image = file.convert("RGB")
    except SyntaxError as error:  # Pillow's, of a broken PNG
        raise ValueError(str(error)) from error
    factor = -(-max(image.size) // side)
    return _smaller(image.reduce(factor) if factor > 1 else image)


def _smaller(image: Image) -> bytes:
    exact, near = io.BytesIO(), io.BytesIO()
    image.save(exact, format="webp", lossless=True, quality=20, method=1)
    if exact.tell() < _SPARSE * image.width * image.height:
        return exact.getvalue()  # the other would take twice as long, and be larger
    image.save(near, format="webp", quality=_QUALITY, method=1)
    return min(exact.getvalue(), near.getvalue(), key=len)


def data_uri(data: bytes) -> str:
    """What an `<img src>` takes in place of an address."""
    return _PREFIX + base64.b64encode(data).decode()


def embedded(folders: Mapping[str, Path], *, budget: int) -> Embedded:
    """Pictures of all runs in at most `budget` bytes of text.

    Args:
        folders: run folders by run id, the most important run first.
        budget: bytes that all data URIs may have together.
    """
    faults: list[str] = []
    read = {run: find_pictures(folder, faults) for run, folder in folders.items()}
    found = {run: kinds for run, kinds in read.items() if kinds}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        fit = choose_fit(list(found.values()), budget=budget, pool=pool)
        wanted = [(run, picture) for run, kinds in found.items() for picture in chosen(kinds, fit)]
        made = pool.map(lambda item: _source(item[1].path, side=fit.side), wanted)
        sources = list(zip(wanted, made, strict=True))
    pictures: dict[str, dict[str, list[dict[str, Any]]]] = {}
    spent = 0
    without: set[str] = set()
    for (run, picture), (source, problem) in sources:
        if without or spent + len(source) > budget:
            without.add(run)
        elif not problem:
            spent += len(source)
            entry = {"step": picture.step, "src": source}
            pictures.setdefault(run, {}).setdefault(picture.kind, []).append(entry)
    faults += [problem for _, (_, problem) in sources if problem]
    return Embedded(pictures, tuple(faults), _notes(found, fit, without))


def choose_fit(
    found: Sequence[Mapping[str, Sequence[Picture]]], *, budget: int, pool: ThreadPoolExecutor
) -> Fit:
    """The first fit whose pictures go into the budget, by an estimate from a few runs."""
    probes = [kinds[kind][-1] for kinds in spread(found, _PROBES) for kind in kinds]
    sizes: dict[int, float] = {}
    for fit in FITS:
        if fit.side not in sizes:
            read = pool.map(lambda p, side=fit.side: _source(p.path, side=side), probes)
            lengths = [len(source) for source, problem in read if not problem]
            sizes[fit.side] = sum(lengths) / len(lengths) if lengths else 0.0
        number = sum(len(chosen(kinds, fit)) for kinds in found)
        few = number <= MAX_PICTURES or fit.steps == 1
        if few and number * sizes[fit.side] * _SAFETY <= budget:
            return fit
    return FITS[-1]


def _source(path: Path, *, side: int) -> tuple[str, str | None]:
    """The data URI of a picture, or "" and what is wrong with it."""
    try:
        return data_uri(encode(path, side=side)), None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        return "", f"{path}: the picture can't be read ({reason}); it is left out"


def _notes(
    found: Mapping[str, Mapping[str, Sequence[Picture]]], fit: Fit, without: set[str]
) -> tuple[str, ...]:
    there = sum(len(pictures) for kinds in found.values() for pictures in kinds.values())
    kept = sum(len(chosen(kinds, fit)) for kinds in found.values())
    notes = []
    if kept < there:
        notes.append(
            f"{kept} of {there} pictures are shown, at most {fit.side} pixels wide or high, to "
            "keep this page small; all of them are in the runs' folders, under samples/."
        )
    if without:
        notes.append(
            f"Pictures of {len(without)} runs are left out to keep this page small; "
            "make a report of fewer runs to see them."
        )
    return tuple(notes)
