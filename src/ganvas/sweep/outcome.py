"""What became of a job: from its exit code, its run's record and its last words."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from ganvas.errors import RunError
from ganvas.sweep.manifest import Cell, Manifest, State
from ganvas.tracking import holder, read_run_json, redact_text

EXIT_FAILED, EXIT_REFUSED = 1, 2
KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_VOICE = "ganvas: "
_TAIL_BYTES = 65536


def outcome(manifest: Manifest, cell: Cell) -> tuple[State, str | None]:
    """What the record of a cell's run says of it: "running" only where a process holds it."""
    folder = manifest.folder / str(cell.run)
    try:
        record = read_run_json(folder)
    except RunError:
        return "interrupted", "killed before it began"
    if record["status"] == "running":
        if holder(folder) is not None:
            return "running", None
        return "interrupted", "killed"
    states: dict[str, State] = {"finished": "done", "failed": "failed"}
    state = states.get(record["status"], "interrupted")
    if state != "done" and str(record.get("finished")) < cell.attempts[-1].started:
        return "interrupted", "killed before it went on"  # the record is of an earlier attempt
    return state, record.get("reason")


def ending(manifest: Manifest) -> list[tuple[Cell, int]]:
    """Cells said to run whose run a process holds, and its id."""
    running = [cell for cell in manifest.cells if _here(cell)]
    held = [(cell, holder(manifest.folder / str(cell.run))) for cell in running]
    return [(cell, process) for cell, process in held if process is not None]


def _here(cell: Cell) -> bool:
    """Said to run, and not as a cluster's job, which goes on without its driver."""
    return cell.state == "running" and cell.attempts[-1].job is None


def settle(manifest: Manifest) -> None:
    """Finds out what became of cells whose driver was killed; nobody may run the sweep.

    Raises:
        RunError: a job of that driver is still ending.
    """
    for cell, process in ending(manifest):
        raise RunError(
            f"cell {cell.index} ({cell.run}) is still in use by process {process}; wait for it "
            "to end, or stop it"
        )
    for cell in manifest.cells:
        if _here(cell):
            cell.state, cell.reason = outcome(manifest, cell)
            cell.seconds = max(cell.seconds, _seconds(manifest.folder / str(cell.run)))


def _seconds(folder: Path) -> float:
    """What the record of a run says that it took; 0 where it does not."""
    with suppress(RunError, AttributeError, KeyError, TypeError, ValueError):
        return float(read_run_json(folder)["usage"]["seconds"])
    return 0.0


def ended_as(
    manifest: Manifest,
    cell: Cell,
    code: int | None,
    *,
    stopped: str | None,
    pruned: bool,
    words: str,
) -> tuple[State, str | None]:
    """A cell's state and reason after its process has ended.

    Args:
        manifest: of the sweep.
        cell: whose last attempt has ended.
        code: exit code, negative for a signal; None where nobody knows it.
        stopped: why the driver told it to end, if it did.
        pruned: whether that was because it was not worth going on with.
        words: its last ones.
    """
    state, reason = outcome(manifest, cell)
    if state == "done":
        return state, reason
    if code == EXIT_REFUSED:  # the record, if any, is of an earlier attempt
        return "failed", words or "refused"
    if state == "failed":
        return state, reason or words
    if stopped:
        return "done" if pruned else "interrupted", stopped
    return _by_code(code, words, reason if state == "interrupted" else None)


def _by_code(code: int | None, words: str, reason: str | None) -> tuple[State, str | None]:
    """Of a process that nobody told to end, and whose record does not say how it did."""
    if code == EXIT_FAILED:
        return "failed", words or f"exit code {code}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; out of memory?" if -code == signal.SIGKILL else ""
        return "interrupted" if -code in KILLS else "failed", f"killed by {name}{hint}"
    return "interrupted", reason or f"exit code {code}"


def last_words(log: Path, *, since: int = 0) -> str:
    """The message at the end of a log, or its last line; empty where there is none.

    Args:
        log: of a cell.
        since: bytes that were there before.
    """
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(since, end - _TAIL_BYTES))
            said = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in said if line.strip()]
    ours: list[str] = []
    for line in reversed(said):
        if not line.startswith(_VOICE):
            break
        ours.insert(0, line.removeprefix(_VOICE).strip())
    return redact_text(" ".join(ours or said[-1:]))
