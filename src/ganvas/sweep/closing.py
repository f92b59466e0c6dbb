"""What a person sees at the end of a sweep."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from rich.console import Console

from ganvas.errors import GanvasError
from ganvas.report.collect import Collection, read_runs
from ganvas.sweep.driver import EXIT_FAILED, EXIT_OK
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.search_plan import STUDY
from ganvas.sweep.status import status_table

REPORT_FILE = "report.html"


def close(folder: Path, *, code: int | None = None) -> int:
    """Print what became of a sweep's cells, compare them, and write the report.

    Args:
        folder: of the sweep.
        code: the exit code, where a signal decides it.

    Returns:
        The exit code: 0 where all cells are done, else 1.
    """
    manifest = Manifest.load(folder)
    console = Console()
    left = [cell for cell in manifest.cells if cell.state != "done"]
    if left:
        console.print(status_table(manifest))
    place = os.path.relpath(manifest.folder)
    typed = shlex.quote(place)
    rows = {"sweep": place, **_compared(manifest, console)}
    if any(cell.state in ("queued", "running") and cell.attempts for cell in left):
        rows["look"] = f"ganvas sweep status {typed}"
    if any(cell.state in ("queued", "interrupted") for cell in left):
        rows["go on"] = f"ganvas sweep resume {typed}"
    if any(cell.state == "failed" for cell in left):
        rows["again"] = f"ganvas sweep resume {typed} failed=true"
    for name, text in rows.items():
        console.print(f"{name:<12}  {text}", soft_wrap=True, markup=False, highlight=False)
    return code if code is not None else EXIT_FAILED if left else EXIT_OK


def _compared(manifest: Manifest, console: Console) -> dict[str, str]:
    """Print the comparison and write the report; where it is, or why there is none."""
    from ganvas.report.ranking import Asked, compare
    from ganvas.report.table import print_comparison

    try:
        collection = read_runs([manifest.folder])
        if STUDY in manifest.content:
            from ganvas.sweep.search_closing import print_search

            found = print_search(manifest, console)
        else:
            found = {}
            if any(run.status == "finished" for run in collection.runs):
                print_comparison(compare(collection, Asked()), console)
        return {**found, **_reported(manifest, collection)}
    except (GanvasError, OSError) as error:  # the runs themselves are safe
        return {"not compared": str(error).splitlines()[0]}


def _reported(manifest: Manifest, collection: Collection) -> dict[str, str]:
    if not manifest.content["launcher"].get("report", True):
        return {}
    from ganvas.report.html import page, write_page
    from ganvas.report.payload import payload

    out = manifest.folder / REPORT_FILE
    write_page(page(payload(collection, title=manifest.folder.name)), out)
    return {"report": os.path.relpath(out)}
