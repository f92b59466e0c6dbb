"""Warnings as a person sees them: one line each, without a place in our sources."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ganvas.errors import GanvasWarning


@contextmanager
def plain_notices() -> Iterator[None]:
    """What ganvas warns of, as lines `ganvas: warning: …` on standard error.

    A `GanvasWarning` is shown once, though a model is built twice, for checks and for training.
    Messages of ganvas' log are shown each time. Other libraries' warnings stay as they are. On a
    terminal the lines stand above the progress line, which takes standard error over.
    """
    former, said = warnings.formatwarning, set[str]()

    def shown(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if not issubclass(category, GanvasWarning):
            return former(message, category, filename, lineno, line)
        text = str(message)
        new = text not in said
        said.add(text)
        return f"ganvas: warning: {text}\n" if new else ""

    handler, logger = _Notices(logging.WARNING), logging.getLogger("ganvas")
    warnings.formatwarning = shown
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        warnings.formatwarning = former


class _Notices(logging.Handler):
    """To what standard error is at the time: a progress line puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(f"ganvas: warning: {record.getMessage()}\n")
