"""What a sweep's driver prints: a line for each cell that begins or ends."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import final

from rich.console import Console

from ganvas.sweep.manifest import Cell, Manifest


def say(text: str, *, error: bool = False) -> None:
    """One line for the person who waits; nothing where nobody listens any more."""
    with suppress(OSError):
        console = Console(stderr=error)
        console.print(text, markup=False, highlight=False, soft_wrap=True)


@final
class Voice:
    """See `source.Reporter`.

    Args:
        manifest: of the sweep.
        console: where lines go; None for standard output.
    """

    def __init__(self, manifest: Manifest, console: Console | None = None) -> None:
        self._manifest = manifest
        self._console = console or Console()

    def begins(self, number: int | None, *, at_once: int) -> None:
        """So many cells are to be run; None where a search asks for them one by one."""
        place = shlex.quote(os.path.relpath(self._manifest.folder))
        many = "a search" if number is None else f"{number} {'cell' if number == 1 else 'cells'}"
        self._print(f"{many}, {at_once} at once, in {place}")
        self._print(f"watch: ganvas sweep status {place}, or ganvas dashboard {place}")

    def started(self, cell: Cell, *, resumed: bool) -> None:
        """See `source.Reporter.started`."""
        verb = "goes on from its checkpoint" if resumed else "begins"
        self._print(f"cell {cell.index} {verb}: {cell.label}")

    def ended(self, cell: Cell) -> None:
        """See `source.Reporter.ended`."""
        counts = self._manifest.counts()
        reason = f" ({cell.reason})" if cell.reason else ""
        state = "is tried again" if cell.state == "queued" else cell.state
        self._print(
            f"cell {cell.index} {state}{reason} after {cell.seconds:.1f} s  "
            f"[{counts.get('done', 0)} of {self._whole()} done]: {cell.label}"
        )

    def _whole(self) -> int:
        """Cells in all; a search makes them one by one."""
        study = self._manifest.content.get("study") or {}
        return max(len(self._manifest.cells), study.get("num_trials") or 0)

    def _print(self, text: str) -> None:
        with suppress(OSError):  # nobody listens any more; the sweep goes on
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
