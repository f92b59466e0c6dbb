"""Ctrl-C and SIGTERM as a request that training looks at between two batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ganvas.errors import InterruptedRun

HANDLED = (signal.SIGINT, signal.SIGTERM)


class SignalInbox:
    """The first signal waits here; a second one ends the run at once.

    Where nobody looks in (training has not begun, its first batch is being compiled, the test
    runs) there is nothing to save, and the first signal ends the run at once too.
    """

    def __init__(self) -> None:
        self.pending: int | None = None
        self._looked = False

    def __call__(self) -> int | None:
        """The number of the signal that came, or None."""
        self._looked = True
        return self.pending

    def hold(self) -> None:
        """From here on a signal waits, until `act`: files are written that belong together.

        One that came before has had its effect.
        """
        self.pending, self._looked = None, True

    def act(self) -> None:
        """From here on a signal ends the run at once, unless somebody looks in again.

        Raises:
            InterruptedRun: if one is waiting.
        """
        self._looked = False
        if self.pending is not None:
            raise InterruptedRun(self.pending)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Signal handler.

        Raises:
            InterruptedRun: on the second signal, or where nobody looks in.
        """
        del frame
        if self.pending is not None or not self._looked:
            raise InterruptedRun(number)
        self.pending = number


@contextmanager
def signal_inbox() -> Iterator[SignalInbox]:
    """As `received`, into a new inbox."""
    inbox = SignalInbox()
    with received(inbox.receive):
        yield inbox


@contextmanager
def received(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT and SIGTERM are handled so inside, as before afterwards (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, receive) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
