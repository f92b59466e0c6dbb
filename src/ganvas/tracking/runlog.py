"""A run's `log.txt`: ganvas and Lightning messages and warnings, and tracebacks."""

from __future__ import annotations

import logging
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from ganvas.tracking.redact import redact_text

LOG_FILE = "log.txt"

_OURS = "ganvas"
_LIGHTNING = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")


@final
class RunLog:
    """Copies messages to `log.txt` from `attach` to `detach`; they are shown as before too."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_FILE
        self._handler: logging.Handler | None = None
        self._level = logging.NOTSET
        self._shown: Any = None

    def attach(self) -> None:
        """Starts to copy INFO and above of ganvas, warnings and above of Lightning."""
        if self._handler is not None:
            return
        handler = _File(self.path, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        ours = logging.getLogger(_OURS)
        self._level = ours.level
        if ours.level == logging.NOTSET:
            ours.setLevel(logging.INFO)
        ours.addHandler(handler)
        for name in _LIGHTNING:
            logging.getLogger(name).addHandler(_WarningsOnly(handler))
        self._handler = handler
        self._shown = warnings.showwarning
        warnings.showwarning = self._show

    def detach(self) -> None:
        """Ends the copying and closes the file; a second call does nothing."""
        handler, self._handler = self._handler, None
        if handler is None:
            return
        ours = logging.getLogger(_OURS)
        ours.removeHandler(handler)
        ours.setLevel(self._level)
        for name in _LIGHTNING:
            logger = logging.getLogger(name)
            for other in list(logger.handlers):
                if isinstance(other, _WarningsOnly) and other.target is handler:
                    logger.removeHandler(other)
        if warnings.showwarning == self._show:
            warnings.showwarning = self._shown
        handler.close()

    def exception(self, error: BaseException) -> None:
        """Appends the traceback of `error`, secrets of the environment replaced."""
        text = "".join(traceback.format_exception(error))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(redact_text(text))

    def _show(
        self, message: Any, category: Any, filename: str, lineno: int, *rest: Any, **named: Any
    ) -> None:
        if self._handler is not None:
            text = f"{category.__name__}: {message} ({filename}:{lineno})"
            record = logging.LogRecord(
                "warnings", logging.WARNING, filename, lineno, text, None, None
            )
            self._handler.handle(record)
        self._shown(message, category, filename, lineno, *rest, **named)


@final
class _File(logging.FileHandler):
    """Without secrets; drops what a full disk has no room for, which is told elsewhere."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of a message, with secrets replaced."""
        return redact_text(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing where logging would print a traceback."""

    def close(self) -> None:
        """Close the file, written out or not."""
        with suppress(OSError):
            super().close()


@final
class _WarningsOnly(logging.Handler):
    """Hands warnings and worse on to another handler."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__(level=logging.WARNING)
        self.target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Passes `record` on."""
        self.target.handle(record)
