"""`log=true`: a picture of a run, where the run was shown."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ganvas.engine.build import build_logger
from ganvas.engine.runs import read_config
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.tracking import Animates, Ready, RunRecord, Tracker, metrics_frame

if TYPE_CHECKING:
    from ganvas.engine.drawn import Made
    from ganvas.engine.latent import Bench


@contextmanager
def shown(bench: Bench) -> Iterator[Callable[[Made], None]]:
    """Gives what shows a picture; whatever speaks against it is said before anything is drawn.

    The run is held meanwhile, since two processes must not show one run. Where showing fails the
    picture is on disk, and a warning says so.

    Raises:
        ConfigError: if the run's tracker shows nothing.
        RunError: if another process holds the run.
    """
    if not bench.settings.log:
        yield lambda made: None
        return
    tracker = build_logger(bench.checked)
    try:
        if isinstance(tracker, Ready):
            tracker.check()
        record = RunRecord.open(bench.folder, resume=False)
    except ConfigError as error:
        raise ConfigError(f"log=true: {error}; leave log out") from error
    except RunError as error:
        raise RunError(f"log=true: {error}; without log the picture can be drawn now") from error
    try:
        yield partial(_show, bench, tracker, record)
    finally:
        record.close()


def _show(bench: Bench, tracker: Tracker, record: RunRecord, made: Made) -> None:
    """Show it under the id of the training."""
    try:
        tracker.start(
            bench.folder,
            config=read_config(bench.folder),
            name=f"{record.content['name']}-{record.id}",
            run_id=record.tracker_id,
            tags=bench.checked.settings.tags,
        )
        try:
            _log(bench, tracker, record, made)
        finally:
            tracker.finish(0 if record.content["status"] == "finished" else 1)
    except Exception as error:  # a dashboard's, of any kind
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        text = f"log=true: {type(tracker).__name__} failed ({reason}); the picture is {made.path}"
        warnings.warn(text, GanvasWarning, stacklevel=2)


def _log(bench: Bench, tracker: Tracker, record: RunRecord, made: Made) -> None:
    step = bench.step or 0
    name = f"latent/{bench.tool.name}"
    tracker.log_images(name, made.pixels, step=step)
    if made.animation is not None and isinstance(tracker, Animates):
        tracker.log_animation(f"{name}-animation", made.animation, step=step)
    info = tracker.info()
    if info is None:
        return
    # Of a further segment W&B takes the whole summary for the run's: it must not be shorter.
    tracker.note(_summary(bench))
    tracker.summary(record.best())
    if record.content.get("wandb") is None:
        record.set(wandb=info)


def _summary(bench: Bench) -> dict[str, float]:
    """The last value of everything that was recorded while the run trained."""
    try:
        table = metrics_frame(bench.folder).ffill()
    except RunError:  # none was
        return {}
    last = {str(name): float(value) for name, value in table.iloc[-1].items()}
    kept = {name: value for name, value in last.items() if math.isfinite(value)}
    return {**kept, "step": int(table.index[-1])}
