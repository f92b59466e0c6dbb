"""All that the page shows, as one JSON value made of run folders.

Tables are always whole. Of what they leave of a report's budget, curves get two fifths and pictures
the rest; where that is too little, `notes` says what is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganvas import __version__
from ganvas.report.cells import MANIFEST
from ganvas.report.collect import Collection, Curve, RunView
from ganvas.report.curves import fitting
from ganvas.report.pictures import Embedded, embedded
from ganvas.report.ranking import mixed_projects
from ganvas.report.rows import (
    configs_of,
    groups_of,
    metrics_of,
    plain,
    protocols_of,
    run_of,
)
from ganvas.report.search import search_of
from ganvas.tracking import redact_text, secretless

FORMAT = 1
BUDGET = 14_500_000
"""Bytes of JSON in a report: with plotly and the page, it stays under 20 MB."""

_CURVES_SHARE, _MAX_CURVES = 0.4, 5_000_000
_BYTES_PER_POINT = 32  # step, images, seconds and value, as text

ReadCurves = Callable[[RunView], Mapping[str, Curve]]
ReadSearch = Callable[[Path], dict[str, Any] | None]
ReadPictures = Callable[[Sequence[RunView], int], Embedded]


def inside(runs: Sequence[RunView], budget: int) -> Embedded:
    """Pictures that travel in the page, those of the first runs before those of others."""
    return embedded({run.id: run.path for run in runs if run.facts}, budget=budget)


def payload(
    collection: Collection,
    *,
    title: str,
    live: bool = False,
    budget: int = BUDGET,
    read_curves: ReadCurves = RunView.curves,
    read_pictures: ReadPictures = inside,
    read_search: ReadSearch = search_of,
) -> dict[str, Any]:
    """The value that the page reads: strict JSON, NaN and infinities as text.

    Args:
        collection: the runs.
        title: of the page.
        live: the page asks for it again and again.
        budget: bytes of JSON.
        read_curves: of one run; a dashboard remembers them.
        read_pictures: of runs, the best ones first, in so many bytes.
        read_search: of a sweep's folder.
    """
    runs = collection.runs
    value = _tables(collection, title=title, live=live)
    searches = [found for folder in sweeps_of(collection) if (found := read_search(folder))]
    value["search"] = plain(secretless(searches[0])) if searches else None
    room = budget - size(value)
    num_points = int(max(0, min(_CURVES_SHARE * room, _MAX_CURVES)) / _BYTES_PER_POINT)
    read = {run.id: read_curves(run) for run in runs if run.facts}
    order = curve_order([metric["name"] for metric in value["metrics"]])
    curves, dropped = fitting(read, order=order, num_points=num_points)
    room -= size(curves)
    pictures = read_pictures(by_merit(runs, value["metrics"]), max(0, room))
    for entry in value["runs"]:
        entry["curves"] = curves.get(entry["id"], {})
        entry["pictures"] = pictures.pictures.get(entry["id"], {})
    value["problems"] += pictures.problems
    value["notes"] += [*_search_notes(searches), *_curve_notes(dropped), *pictures.notes]
    return value


def size(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, separators=(",", ":"), allow_nan=False))


def _tables(collection: Collection, *, title: str, live: bool) -> dict[str, Any]:
    runs = collection.runs
    keys, shared = configs_of(runs)
    return {
        "format": FORMAT,
        "title": redact_text(title),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "live": live,
        "version": __version__,
        "problems": [redact_text(problem) for problem in collection.problems],
        "notes": [f"{redact_text(note[0].upper() + note[1:])}." for note in mixed_projects(runs)],
        "metrics": metrics_of(runs),
        "keys": keys,
        "shared": shared,
        "runs": [run_of(run, keys=keys) for run in runs],
        "groups": groups_of(runs),
        "protocols": protocols_of(runs),
    }


def sweeps_of(collection: Collection) -> list[Path]:
    """The sweeps' folders, at or under the collection's root."""
    above = {
        folder
        for run in collection.runs
        for folder in (run.path, *run.path.parents)
        if folder.is_relative_to(collection.root)
    }
    return sorted(folder for folder in above if (folder / MANIFEST).is_file())


def curve_order(metrics: Sequence[str]) -> list[str]:
    """Metrics by how much one wants to see their curve: validation, the default one first; loss."""
    endings = [name.partition("/")[2] for name in metrics]
    validated = [name for name in metrics if name.startswith("val/")]
    first = [f"val/{ending}" for ending in endings[:1] if f"val/{ending}" in validated]
    trained = [f"train/{ending}" for ending in endings]
    return list(dict.fromkeys([*first, "train/loss", *validated, *trained]))


def by_merit(runs: Sequence[RunView], metrics: Sequence[Mapping[str, Any]]) -> list[RunView]:
    """The best run of the default metric first, then the newest of those without a value."""
    newest = sorted(runs, key=lambda run: run.created or "", reverse=True)
    if not metrics or metrics[0]["higher"] is None:
        return newest
    name, sign = metrics[0]["name"], -1.0 if metrics[0]["higher"] else 1.0

    def rank(run: RunView) -> float:
        value = run.values.get(name)
        shown = None if value is None else value.final if value.best is None else value.best
        return float("inf") if shown is None or math.isnan(shown) else sign * shown

    return sorted(newest, key=rank)


def _search_notes(searches: Sequence[Mapping[str, Any]]) -> list[str]:
    more = len(searches) - 1
    told = f"One search is shown, {more} more are not; make a report of a sweep to see its search."
    return [told] if more > 0 else []


def _curve_notes(dropped: Sequence[str]) -> list[str]:
    if not dropped:
        return []
    names = ", ".join(dropped[:5]) + (", …" if len(dropped) > 5 else "")  # noqa: PLR2004
    return [
        f"Curves of {len(dropped)} metrics are left out to keep this page small ({names}); "
        "they are in the runs' metrics.csv."
    ]
