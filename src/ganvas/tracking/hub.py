"""One place where a run's figures go: to its record first, then to every tracker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ganvas.errors import GanvasError
from ganvas.tracking.base import Tracker
from ganvas.tracking.record import RunRecord, Status

if TYPE_CHECKING:
    import numpy as np

_SUMMARISED = ("val", "test")

_log = logging.getLogger(__name__)


@final
class Hub:
    """Implements `ganvas.protocols.Recorder`.

    An error of the record rises: what isn't recorded didn't happen. A tracker that raises is
    dropped with one warning, and training goes on without it.

    Args:
        record: of this run.
        trackers: not started yet.
        higher_is_better: by the part of a metric's name after the first slash (`elbo` for
            `val/elbo`); of metrics that are not in it only the final value is kept.
    """

    def __init__(
        self,
        record: RunRecord,
        trackers: Sequence[Tracker] = (),
        *,
        higher_is_better: Mapping[str, bool] | None = None,
    ) -> None:
        self.record = record
        self._trackers = list(trackers)
        self._higher_is_better = dict(higher_is_better or {})

    def start(
        self,
        *,
        config: Mapping[str, Any],
        job_type: str = "train",
        tags: Sequence[str] = (),
        first_step: int = 0,
    ) -> None:
        """Starts every tracker and notes in `run.json` where W&B shows the run.

        Args:
            config: nested, resolved and plain; secrets are replaced here.
            job_type: see `Tracker.start`.
            tags: see `Tracker.start`.
            first_step: where a resumed run goes on.

        Raises:
            ConfigError: a tracker was asked for something that can't be had.
        """
        from ganvas.tracking.redact import redact, redact_text, remember

        content = self.record.content
        remember(config)
        clean = redact(config)

        def begin(tracker: Tracker) -> None:
            tracker.start(
                self.record.path,
                config=clean,
                name=f"{content['name']}-{self.record.id}",
                run_id=self.record.tracker_id,
                job_type=job_type,
                tags=[redact_text(tag) for tag in tags],
                first_step=first_step,
            )
            if info := tracker.info():
                self.record.set(wandb=info)

        self._each(begin, raises=GanvasError)

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Values by name at one step; `val/…` and `test/…` also become final and best values."""
        self.record.log_metrics(values, step=step, images_seen=images_seen, seconds=seconds)
        self._summarise(values, step=step)
        self._each(
            lambda tracker: tracker.log_metrics(
                values, step=step, images_seen=images_seen, seconds=seconds
            )
        )

    def set_best(self, values: Mapping[str, float], *, step: int) -> None:
        """The values of the checkpoint that validation selected, where a direction is known."""
        for name, value in values.items():
            higher = self._higher_is_better.get(name.partition("/")[2])
            if higher is not None:
                self.record.set_best(name, value, step=step, higher_is_better=higher)
        self.record.flush()

    def log_trace(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Loss parts of consecutive steps: to the record only, they are too many to show."""
        self.record.log_trace(steps, columns)

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """One uint8 picture `(H, W, 3)`."""
        self.record.log_images(name, image, step=step)
        self._each(lambda tracker: tracker.log_images(name, image, step=step))

    def log_collapses(self, collapses: Sequence[Mapping[str, Any]]) -> None:
        """All collapses of the run so far, as `run.json` keeps them; trackers show the last one."""
        self.record.set(collapses=[dict(event) for event in collapses])
        if collapses:
            last = collapses[-1]
            facts = {f"collapse/{key}": last[key] for key in ("step", "reason")}
            self._each(lambda tracker: tracker.note(facts))

    def finish(
        self,
        status: Status,
        *,
        reason: str | None = None,
        exit_code: int = 0,
        checkpoint: Path | None = None,
    ) -> None:
        """Ends the record, then trackers: these may take their time, or be stopped.

        Args:
            status: "finished", "failed" or "interrupted".
            reason: one line, where the run did not finish.
            exit_code: of the process, shown by trackers.
            checkpoint: the best one, for trackers that keep it.
        """
        self.record.end(status, reason=reason)
        self.close(exit_code=exit_code, checkpoint=checkpoint)

    def close(self, *, exit_code: int, checkpoint: Path | None = None) -> None:
        """Ends trackers and lets go of the record; see `finish`."""
        best = self.record.best()

        def end(tracker: Tracker) -> None:
            try:
                tracker.summary(best)
                if checkpoint is not None:
                    tracker.save_checkpoint(checkpoint)
            finally:
                tracker.finish(exit_code)

        try:
            self._each(end)
        finally:
            self.record.close()

    def _summarise(self, values: Mapping[str, float], *, step: int) -> None:
        kept = False
        for name, value in values.items():
            stage, _, metric = name.partition("/")
            if stage in _SUMMARISED and metric:
                higher = self._higher_is_better.get(metric)
                self.record.update_metric(name, value, step=step, higher_is_better=higher)
                kept = True
        if kept:
            self.record.flush()

    def _each(
        self, action: Callable[[Tracker], None], *, raises: type[Exception] | None = None
    ) -> None:
        for tracker in list(self._trackers):
            try:
                action(tracker)
            except Exception as error:
                if raises is not None and isinstance(error, raises):
                    raise
                self._drop(tracker, error)

    def _drop(self, tracker: Tracker, error: Exception) -> None:
        self._trackers.remove(tracker)
        _log.warning(
            "%s failed and is left out from here on; the run goes on and its record in %s is "
            "complete (%s: %s)",
            type(tracker).__name__,
            self.record.path,
            type(error).__name__,
            str(error).splitlines()[0] if str(error) else "no message",
        )
        try:
            tracker.finish(1)
        except Exception as second:
            _log.debug("and it did not finish cleanly: %s", second)
