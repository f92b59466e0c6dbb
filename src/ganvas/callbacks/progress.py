"""One line that tells how training goes."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ganvas.callbacks.figures import Figures
from ganvas.protocols import trainable

SHOWN = ("loss", "elbo", "distortion", "rate", "critic_loss", "generator_loss")
REFRESH_SECONDS = 0.2
LINE_SECONDS = 10.0


class ProgressLine(pl.Callback):
    """A bar on a terminal; elsewhere a plain line now and then, fit for a log file.

    Args:
        figures: where the last means and the rate are.
        total: batches of the whole run; None if unknown.
        console: where to print.
    """

    def __init__(self, figures: Figures, *, total: int | None, console: Console) -> None:
        self.figures = figures
        self.total = total
        self.console = console
        self._bar: Progress | None = None
        self._next = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        module = trainable(pl_module)
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"),
                console=self.console,
                transient=True,
                auto_refresh=False,
            )
            self._bar.add_task("training", total=self.total, completed=module.step, text="")
            self._bar.start()
        self._next = time.monotonic() + (0.0 if self._bar else LINE_SECONDS)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Refresh a few times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        module = trainable(pl_module)
        if self._bar is not None:
            self._next = now + REFRESH_SECONDS
            self._bar.update(self._bar.task_ids[0], completed=module.step, text=self._text())
            self._bar.refresh()
        else:
            self._next = now + LINE_SECONDS
            of = f"/{self.total}" if self.total else ""
            self.console.print(f"step {module.step}{of}  {self._text()}", highlight=False)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar, whatever ended training."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _text(self) -> str:
        latest = self.figures.latest
        shown = [f"{name} {latest[name]:.4g}" for name in SHOWN if name in latest]
        return "  ".join([*shown, f"{self.figures.images_per_second:,.0f} images/s"])
