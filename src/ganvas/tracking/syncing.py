"""Offline runs and their upload, which W&B's own `wandb sync` does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ganvas.errors import GanvasError, RunError
from ganvas.tracking.files import find_runs, read_run_json
from ganvas.tracking.lock import holder
from ganvas.tracking.record import RunRecord
from ganvas.tracking.wandb_account import UNSENT

PATIENCE_SECONDS = 15.0
"""How long `wandb sync` may be silent before somebody looks whether the server still answers."""

State = Literal["to upload", "uploaded", "there already", "in use", "failed"]

_MAGIC = b":W&B"
_ADDRESS = re.compile(r"https?://\S+/runs/\S+")
_IN_THE_WAY = ("WANDB_MODE", "WANDB_SILENT", "WANDB_QUIET", "WANDB_RUN_ID", "WANDB_SWEEP_ID")


class UnreachableError(RunError):
    """W&B's server does not answer."""


@dataclass(frozen=True)
class OfflineRun:
    """A run with files that W&B wrote offline, or that its server did not take.

    Attributes:
        folder: of the run.
        label: name and folder
        created: time of day, for the order.
        segments: W&B's folders, one each time that the run was begun or resumed, oldest first.
    """

    folder: Path
    created: str
    segments: tuple[Path, ...]

    def waiting(self) -> list[Path]:
        """Segments that lack W&B's own mark of having been uploaded."""
        return [s for s in self.segments if not all(map(_is_marked, s.glob("*.wandb")))]

    def state(self) -> tuple[State, str]:
        """What is to be done, and why nothing can."""
        if not self.waiting():
            return "there already", ""
        if (process := holder(self.folder)) is not None:
            return "in use", f"process {process} still trains it; upload it when it has ended"
        return "to upload", ""


def offline_runs(paths: Sequence[Path]) -> list[OfflineRun]:
    """All runs at or under some folders that have files of W&B's offline mode, oldest first.

    Raises:
        RunError: there is no such folder.
    """
    folders = dict.fromkeys(run.resolve() for path in paths for run in find_runs(path))
    runs = [run for folder in folders if (run := _offline(folder)).segments]
    return sorted(runs, key=lambda run: (run.created, str(run.folder)))


def _offline(folder: Path) -> OfflineRun:
    content: dict[str, Any] = {}
    with suppress(RunError):  # what W&B wrote is whole all the same
        content = read_run_json(folder)
    files = [*folder.glob("wandb/offline-run-*/*.wandb")]
    files += [f for m in folder.glob(f"wandb/run-*/{UNSENT}") for f in m.parent.glob("*.wandb")]
    files.sort(key=lambda f: f.parent.name.removeprefix("offline-"))
    created = str(content.get("created") or _time_in(folder.name))
    return OfflineRun(folder, created, tuple(dict.fromkeys(f.parent for f in files)))


def _time_in(name: str) -> str:
    """`2026-11-22T00:29:22` of a run folder's name, to sort among those of records."""
    day, _, rest = name.partition("_")
    return f"{day}T{rest[:8].replace('-', ':')}"


def _is_marked(file: Path) -> bool:
    return file.with_name(f"{file.name}.synced").exists()


def upload(run: OfflineRun, *, server: str, options: Sequence[str] = ()) -> tuple[State, str]:
    """Send what is not there yet; the server's address of the run, or why it failed.

    Args:
        run: that nobody trains.
        server: address of W&B's server.
        options: of `wandb sync`.

    Raises:
        UnreachableError: the server stopped answering.
    """
    segments = run.waiting()
    for file in (file for segment in segments for file in segment.glob("*.wandb")):
        with file.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                return "failed", f"{file} is damaged: it does not begin as W&B's files do"
    arguments = ["-n", "1", "--include-online", *options, *map(str, segments)]
    said = _wandb_sync(arguments, server=server)
    address = _ADDRESS.search(said)
    if left := run.waiting():
        return "failed", _fault(said) or f"{left[0]} was not taken"
    if address is not None:
        _note(run.folder, address[0])
    return "uploaded", address[0] if address is not None else ""


def _wandb_sync(arguments: Sequence[str], *, server: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in _IN_THE_WAY}
    with subprocess.Popen(
        [sys.executable, "-m", "wandb", "sync", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "WANDB_ERROR_REPORTING": "false", "NO_COLOR": "1"},
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    return process.communicate(timeout=PATIENCE_SECONDS)[0]
                except subprocess.TimeoutExpired:  # it would try again for days
                    check_reachable(server)
        except BaseException:
            process.kill()
            raise


def check_reachable(server: str, *, timeout: float = 10.0) -> None:
    """Something answers there.

    Raises:
        UnreachableError: nothing does.
    """
    try:
        with urllib.request.urlopen(server, timeout=timeout):
            return
    except urllib.error.HTTPError:  # it answers
        return
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise UnreachableError(
            f"W&B's server {server} does not answer ({reason}); what was not uploaded stays as it "
            "is: try again later, or name another server in WANDB_BASE_URL"
        ) from error


def _fault(said: str) -> str:
    """What `wandb sync` complained of, in one line."""
    lines = [line.removeprefix("wandb: ").strip() for line in said.splitlines()]
    faults = [line.removeprefix("ERROR ") for line in lines if line.startswith(("ERROR", "Error"))]
    return "; ".join(dict.fromkeys(faults)) or (lines[-1] if lines else "")


def _note(folder: Path, address: str) -> None:
    """Puts the address into the run's record, where it can be written."""
    try:
        record = RunRecord.open(folder, resume=False)
    except (GanvasError, OSError):
        return
    try:
        record.set(wandb={**(record.content.get("wandb") or {}), "url": address})
    finally:
        record.close()
