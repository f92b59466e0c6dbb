"""How a run ends: exit code, status and reason, whatever ended it."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.engine.failures import reason_of
from ganvas.errors import InterruptedRun

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.engine.signals import SignalInbox
    from ganvas.tracking.hub import Hub
    from ganvas.tracking.record import RunRecord, Status

EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2
_CLOSING_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        folder: of the run.
        exit_code: 0 done, 1 failed, 130 or 143 interrupted.
        reason: one line, where it did not finish.
        error: what stopped it, if anything did.
    """

    folder: Path
    exit_code: int
    reason: str | None = None
    error: BaseException | None = None


def failure(record: RunRecord, error: BaseException, checked: Checked) -> Outcome:
    """What an exception means for the run; its traceback goes to the run's log."""
    if isinstance(error, InterruptedRun):
        return Outcome(record.path, 128 + error.signal, f"signal {error.signal}", error)
    with suppress(OSError):  # a full disk takes no log either
        record.log_exception(error)
    return Outcome(
        record.path,
        EXIT_FAILED,
        reason_of(error, folder=record.path, checked=checked),
        error,
    )


def abandon(hub: Hub, reason: str) -> None:
    """Write down that the run has failed, and give the trackers some seconds: the process ends."""
    hub.record.end("failed", reason=reason)
    closing = threading.Thread(target=hub.close, kwargs={"exit_code": EXIT_FAILED}, daemon=True)
    closing.start()
    closing.join(_CLOSING_SECONDS)


def finish(hub: Hub, outcome: Outcome, inbox: SignalInbox, checked: Checked) -> Outcome:
    """Write down how the run ended, then end the trackers, which a signal may cut short."""
    statuses: dict[int, Status] = {EXIT_OK: "finished", EXIT_FAILED: "failed"}
    status = statuses.get(outcome.exit_code, "interrupted")
    try:
        hub.record.end(status, reason=outcome.reason)
    except OSError as error:
        told = reason_of(error, folder=outcome.folder, checked=checked)
        _log.warning("that the run is %s could not be written down: %s", status, told)
        if outcome.exit_code == EXIT_OK:
            outcome = Outcome(outcome.folder, EXIT_FAILED, told, error)
    best = outcome.folder / "checkpoints" / "best.ckpt"
    try:
        inbox.act()
        hub.close(exit_code=outcome.exit_code, checkpoint=best if best.is_file() else None)
    except InterruptedRun as error:
        outcome = replace(outcome, exit_code=128 + error.signal)
    finally:
        hub.record.close()
    return outcome
