"""What every tracker offers; a tracker shows a run, the run record is the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from ganvas.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


@runtime_checkable
class Tracker(Protocol):
    """A dashboard. After `start` any method may raise: the hub then goes on without it."""

    def start(
        self,
        run_dir: Path,
        *,
        config: Mapping[str, Any],
        name: str,
        run_id: str,
        job_type: str = "train",
        tags: Sequence[str] = (),
        first_step: int = 0,
    ) -> None:
        """Begins to show a run, or goes on with it where `run_id` was shown before.

        Args:
            run_dir: the run's folder; a tracker keeps its files inside.
            config: nested, resolved, plain and without secrets.
            name: to show.
            run_id: unique, the same again when a run is resumed.
            job_type: "train", "evaluate", …
            tags: besides those that the tracker itself was given.
            first_step: where a resumed run goes on.

        Raises:
            ConfigError: the tracker was asked for something that can't be had.
        """

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Shows values by name over `step`."""

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """Shows one uint8 picture `(H, W, 3)`."""

    def save_checkpoint(self, path: Path) -> None:
        """Keeps the best checkpoint, where the tracker was asked to."""

    def note(self, facts: Mapping[str, float | str]) -> None:
        """Shows facts of the whole run by name, such as `collapse/step`; later ones replace."""

    def summary(self, best: Mapping[str, float]) -> None:
        """Shows best values as `best/<name>`."""

    def info(self) -> dict[str, Any] | None:
        """What `run.json` keeps under `wandb`; None for every other tracker."""

    def finish(self, exit_code: int = 0) -> None:
        """Ends; a second call does nothing."""


@runtime_checkable
class Ready(Protocol):
    """A tracker that can tell before `start` whether it will show anything."""

    def check(self) -> None:
        """Looks, and starts nothing.

        Raises:
            ConfigError: nothing would be shown; why, with the remedy.
        """


@runtime_checkable
class Animates(Protocol):
    """A tracker that shows animations, too."""

    def log_animation(self, name: str, file: Path, *, step: int) -> None:
        """Shows a GIF."""


@final
class NullTracker:
    """Shows nothing: the local run record is all there is."""

    def check(self) -> None:
        """Refuses always: see `Ready.check`."""
        raise ConfigError("the run has logger=none, which shows nothing")

    def start(
        self,
        run_dir: Path,
        *,
        config: Mapping[str, Any],
        name: str,
        run_id: str,
        job_type: str = "train",
        tags: Sequence[str] = (),
        first_step: int = 0,
    ) -> None:
        """Does nothing."""

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Does nothing."""

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """Does nothing."""

    def save_checkpoint(self, path: Path) -> None:
        """Does nothing."""

    def note(self, facts: Mapping[str, float | str]) -> None:
        """Does nothing."""

    def summary(self, best: Mapping[str, float]) -> None:
        """Does nothing."""

    def info(self) -> None:
        """Nothing to keep."""

    def finish(self, exit_code: int = 0) -> None:
        """Does nothing."""
