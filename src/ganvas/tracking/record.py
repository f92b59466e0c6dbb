"""The record of one run: a folder that says what was run, with what, and what came out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from ganvas.errors import RunError
from ganvas.tracking import provenance
from ganvas.tracking.files import (
    FORMAT_VERSION,
    RUN_FILE,
    make_run_folder,
    read_run_json,
    remove_temporaries,
    write_json,
    write_yaml,
)
from ganvas.tracking.lock import RunLock
from ganvas.tracking.redact import config_hash, redact, redact_text, remember
from ganvas.tracking.runlog import RunLog
from ganvas.tracking.samples import write_picture
from ganvas.tracking.summary import MetricSummary
from ganvas.tracking.tables import MetricsTable, TraceTable

if TYPE_CHECKING:
    import numpy as np

Status = Literal["running", "finished", "failed", "interrupted"]

_RESERVED = frozenset({"format_version", "id", "metrics", "evaluations", "created"})


@final
class RunRecord:
    """One run folder, held by this process alone (`create` or `open` make it).

    Attributes:
        path: the run folder, absolute.
        id: six hex digits.
    """

    def __init__(self, path: Path, *, lock: RunLock, content: dict[str, Any]) -> None:
        self.path = path
        self.id: str = content["id"]
        self._lock = lock
        self._content = content
        self._summary = MetricSummary(content.get("metrics"))
        self._metrics = MetricsTable(path)
        self._trace = TraceTable(path)
        self._log = RunLog(path)

    @classmethod
    def create(
        cls,
        runs_dir: Path | str,
        name: str,
        *,
        config: Mapping[str, Any],
        overrides: Sequence[str],
        command: str,
        seed: int,
        parent: str | None = None,
        dataset_fingerprint: str | None = None,
        folder: Path | None = None,
    ) -> RunRecord:
        """Makes `runs_dir/<name>/<YYYY-MM-DD_HH-MM-SS>-<id>/` and writes down how it started.

        Args:
            runs_dir: where runs are kept.
            name: of the run; may hold `/` for subfolders.
            config: the resolved config, plain dicts, lists and scalars.
            overrides: what the user typed.
            command: the whole command line.
            seed: of the run.
            parent: path of the run whose weights this one starts from.
            dataset_fingerprint: hash of the data, where known already.
            folder: chosen before by `run_folder`.

        Raises:
            RunError: `name` leaves `runs_dir`.
            OSError: the folder can't be written.
        """
        run_id, path = make_run_folder(Path(runs_dir), name, folder=folder)
        try:
            remember(config)
            lock, clean = RunLock(path), redact(config)
            write_yaml(path / "config.yaml", clean)
            write_yaml(path / "overrides.yaml", [redact_text(text) for text in overrides])
            content = _first_content(path, run_id=run_id, name=name, config=clean) | {
                "command": redact_text(command),
                "parent": parent,
                "seed": seed,
                "dataset_fingerprint": dataset_fingerprint,
            }
            record = cls(path, lock=lock, content=content)
            record.flush()
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return record

    @classmethod
    def open(cls, path: Path | str, *, resume: bool = True) -> RunRecord:
        """Takes hold of a run that exists.

        Args:
            path: the run folder.
            resume: set the status back to "running"; False leaves it (to add evaluations).

        Raises:
            RunError: no such run, it is damaged, or another process holds it.
        """
        folder = Path(path).resolve()
        read_run_json(folder)
        lock = RunLock(folder)
        try:
            remove_temporaries(folder)
            record = cls(folder, lock=lock, content=read_run_json(folder))
            if resume:
                record.set(status="running", reason=None, finished=None)
        except BaseException:
            lock.release()
            raise
        return record

    @property
    def tracker_id(self) -> str:
        """The folder's name: an id that no other run shares, in a project of any size."""
        return self.path.name

    @property
    def content(self) -> dict[str, Any]:
        """What `run.json` holds after the next `flush` (a copy at the top level)."""
        return {**self._content, "metrics": self._summary.as_dict()}

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Adds rows to `metrics.csv`.

        Args:
            values: floats by name (`train/loss`); NaN and infinities are kept.
            step: batches consumed.
            images_seen: images consumed.
            seconds: since training began, resumed parts included.

        Raises:
            OSError: they could not be written; the table is as it was before.
        """
        self._metrics.append(values, step=step, images_seen=images_seen, seconds=seconds)

    def log_trace(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Adds one row per step to `trace.csv`; NaN means that a part was absent.

        Raises:
            RunError: a column is not as long as `steps`.
            OSError: the rows could not be written; the table is as it was before.
        """
        self._trace.append(steps, columns)

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> Path:
        """Saves a picture as `samples/<name>-<step, 8 digits>.png`.

        Args:
            name: of the picture; anything but letters, digits, `.`, `-` becomes `_`.
            image: uint8 `(H, W, 3)`.
            step: batches consumed.

        Returns:
            The file.

        Raises:
            RunError: the picture has another type or shape.
        """
        return write_picture(self.path, name, image, step=step)

    def truncate(self, step: int, *, traced: int | None = None) -> None:
        """Drops metrics and trace of later steps; final and best values are found anew.

        Args:
            step: of the checkpoint.
            traced: last step whose trace was written when it was made; None for `step`. The
                window from there on is in the checkpoint, and its means come again, too.
        """
        last = step if traced is None else traced
        self._metrics.truncate(last)
        self._trace.truncate(last)
        self._summary.rewind(step, rows=self._metrics.rows())
        self.flush()

    def set(self, **fields: Any) -> None:
        """Puts fields into `run.json` and writes it.

        Raises:
            RunError: a field that has its own method, or never changes.
        """
        if refused := sorted(_RESERVED & fields.keys()):
            raise RunError(
                f"run.json: {', '.join(refused)} can't be set; "
                "use update_metric or add_evaluations, the others never change"
            )
        self._content.update(redact(fields))
        self.flush()

    def update_metric(
        self, name: str, value: float, *, step: int, higher_is_better: bool | None
    ) -> None:
        """Keeps the final value of a metric, and its best where a direction is given.

        In memory: `flush`, `set` and `finish` write it.
        """
        self._summary.update(name, value, step=step, higher_is_better=higher_is_better)

    def set_best(self, name: str, value: float, *, step: int, higher_is_better: bool) -> None:
        """Fixes the best of a metric that is not selected by its own value (a test value)."""
        self._summary.set_best(name, value, step=step, higher_is_better=higher_is_better)

    def best(self) -> dict[str, float]:
        """The best value by metric, for metrics with a direction."""
        return self._summary.best()

    def add_evaluations(self, evaluations: Sequence[Mapping[str, Any]]) -> None:
        """Appends to `run.json` (nothing is ever overwritten) and writes it."""
        earlier = self._content.get("evaluations", [])
        self._content["evaluations"] = [*earlier, *(redact(e) for e in evaluations)]
        self.flush()

    def flush(self) -> None:
        """Writes `run.json` in one step.

        Raises:
            OSError: it could not be written; the old file stands.
        """
        write_json(self.path / RUN_FILE, self.content)

    def attach_log(self) -> None:
        """Copies messages and warnings of ganvas and Lightning to `log.txt` until the end."""
        self._log.attach()

    def log_exception(self, error: BaseException) -> Path:
        """Appends the traceback of `error` to `log.txt` and returns that file."""
        self._log.exception(error)
        return self._log.path

    def end(self, status: Status, *, reason: str | None = None) -> None:
        """Writes how the run ended; the folder is still held.

        Args:
            status: "finished", "failed" or "interrupted".
            reason: one line, where it did not finish.
        """
        reason = redact_text(reason) if reason else None
        self.set(status=status, reason=reason, finished=_now())

    def finish(self, status: Status, *, reason: str | None = None) -> None:
        """As `end`, and lets go of the folder."""
        try:
            self.end(status, reason=reason)
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the folder and leaves its status; a second call does nothing."""
        self._log.detach()
        self._metrics.close()
        self._trace.close()
        self._lock.release()


def _first_content(
    path: Path, *, run_id: str, name: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "id": run_id,
        "name": name,
        "status": "running",
        "reason": None,
        "command": None,
        "parent": None,
        "created": _now(),
        "finished": None,
        "seed": None,
        "config_hash": config_hash(config),
        "dataset_fingerprint": None,
        "git": provenance.git_state(path),
        "packages": provenance.package_versions(),
        "hardware": provenance.hardware(),
        "wandb": None,
        "metrics": {},
        "evaluations": [],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
