"""What a person sees at the end of a sweep."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from ganvas.sweep.driver import EXIT_FAILED, EXIT_OK
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.status import status_table


def close(folder: Path, *, code: int | None = None) -> int:
    """Print what became of a sweep's cells, and what to do next.

    Args:
        folder: of the sweep.
        code: the exit code, where a signal decides it.

    Returns:
        The exit code: 0 where all cells are done, else 1.
    """
    manifest = Manifest.load(folder)
    console = Console()
    console.print(status_table(manifest))
    left = [cell for cell in manifest.cells if cell.state != "done"]
    place = os.path.relpath(manifest.folder)
    rows = {"sweep": place}
    if any(cell.state in ("queued", "interrupted") for cell in left):
        rows["go on"] = f"ganvas sweep resume {place}"
    if any(cell.state == "failed" for cell in left):
        rows["again"] = f"ganvas sweep resume {place} failed=true"
    for name, text in rows.items():
        console.print(f"{name:<12}  {text}", soft_wrap=True, markup=False, highlight=False)
    return code if code is not None else EXIT_FAILED if left else EXIT_OK
