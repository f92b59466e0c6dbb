"""Where the driver's cells come from, and who is told of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from ganvas.sweep.manifest import Cell


class Source(Protocol):
    """Where cells come from: a list, or a search that makes them one by one."""

    def next(self) -> Cell | None:
        """The next cell to run; None where there is none now."""

    def ended(self, cell: Cell) -> None:
        """A cell is done, failed or interrupted, and is not tried again."""

    def prune(self, cell: Cell) -> str | None:
        """Why a running cell is not worth going on with, or None."""


class Listed:
    """Cells that are known beforehand.

    Args:
        cells: in order.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._cells = deque(cells)

    def next(self) -> Cell | None:
        """See `Source.next`."""
        return self._cells.popleft() if self._cells else None

    def ended(self, cell: Cell) -> None:
        """Nothing depends on it."""

    def prune(self, cell: Cell) -> str | None:
        """Never."""


class Reporter(Protocol):
    """Who tells a person how the sweep goes."""

    def started(self, cell: Cell, *, resumed: bool) -> None:
        """A cell's process begins."""

    def ended(self, cell: Cell) -> None:
        """It has ended."""
