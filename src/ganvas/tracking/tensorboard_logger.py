"""TensorBoard event files in the run's `tensorboard/`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ganvas.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


@final
class TensorBoardTracker:
    """Writes scalars and pictures over `step`; `tensorboard --logdir runs` shows them.

    Args:
        flush_secs: seconds after which what was logged is on disk.
    """

    def __init__(self, *, flush_secs: int = 30) -> None:
        self.flush_secs = flush_secs
        self._writer: Any = None
        self._step = 0

    def check(self) -> None:
        """Whether TensorBoard is installed; see `Ready.check`."""
        _writer_class()

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
        """Opens the event file; a resumed run hides what it showed after `first_step`.

        Raises:
            ConfigError: TensorBoard is not installed.
        """
        import yaml

        self._writer = _writer_class()(
            str(run_dir / "tensorboard"),
            purge_step=first_step + 1 if first_step else None,
            flush_secs=self.flush_secs,
        )
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        self._writer.add_text("config", "    " + text.replace("\n", "\n    "), first_step)

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Shows values by name over `step`."""
        if self._writer is not None:
            self._step = max(self._step, step)
            for name, value in {**values, "images_seen": images_seen, "seconds": seconds}.items():
                self._writer.add_scalar(name, value, step)

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """Shows one uint8 picture `(H, W, 3)`."""
        if self._writer is not None:
            self._writer.add_image(name, image, step, dataformats="HWC")

    def save_checkpoint(self, path: Path) -> None:
        """Does nothing: the run folder has the checkpoint."""

    def note(self, facts: Mapping[str, float | str]) -> None:
        """Shows each fact as a text at the last step."""
        if self._writer is not None:
            for name, fact in facts.items():
                self._writer.add_text(name, str(fact), self._step)

    def summary(self, best: Mapping[str, float]) -> None:
        """Shows best values as `best/<name>` at the last step."""
        if self._writer is not None:
            for name, value in best.items():
                if math.isfinite(value):
                    self._writer.add_scalar(f"best/{name}", value, self._step)

    def info(self) -> None:
        """Nothing to keep: the files are in the run folder."""

    def finish(self, exit_code: int = 0) -> None:
        """Closes the event file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "logger=tensorboard needs the package tensorboard; "
            "`pip install ganvas[tensorboard]`, or choose logger=none"
        ) from error
    return SummaryWriter
