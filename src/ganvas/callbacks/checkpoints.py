"""Checkpoints: the last two, the best by a monitor, periodic ones; and a clean end on a signal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch

from ganvas.callbacks.figures import DivergedError, batch_of
from ganvas.errors import InterruptedRun
from ganvas.protocols import trainable


class Checkpoints(pl.Callback):
    """Saves `last.ckpt`, `previous.ckpt`, `best.ckpt` and `step-<n>.ckpt` in a folder.

    Saved after each validation (after each epoch where there is none), every `every_n_steps`
    batches, at the end, and when a signal came. Only between two optimiser steps: gradients that
    are being accumulated are in no checkpoint, and `last.ckpt` waits for the end of their window.
    Weights that are not finite are never saved.

    Args:
        folder: made when first needed.
        monitor: metric that selects the best; None for no best.
        mode: "min" or "max".
        every_n_steps: batches between periodic checkpoints; None for none.
        keep: how many of the periodic ones stay.
        pending_signal: returns the number of a signal that came, or None.
    """

    def __init__(
        self,
        folder: Path,
        *,
        monitor: str | None,
        mode: Literal["min", "max"],
        every_n_steps: int | None,
        keep: int,
        pending_signal: Callable[[], int | None],
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.sign = 1.0 if mode == "min" else -1.0
        self.every_n_steps = every_n_steps
        self.keep = keep
        self.pending_signal = pending_signal
        self.best = math.inf
        self.best_step: int | None = None
        self._saved_step = -1
        self._accumulating = self._due = self._periodic = False
        self._last_step: int | None = None
        self._never_finite: set[str] = set()

    @property
    def last_path(self) -> Path:
        """The newest state."""
        return self.folder / "last.ckpt"

    @property
    def previous_path(self) -> Path:
        """The state before the newest: a run goes on from it where `last.ckpt` is damaged."""
        return self.folder / "previous.ckpt"

    @property
    def best_path(self) -> Path:
        """The best state by the monitor."""
        return self.folder / "best.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """The best value, so that a resumed run compares with it."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best value up."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]

    def last_good(self) -> str:
        """Which checkpoint is the last, in words."""
        if self._last_step is None:
            return "no checkpoint was written before it"
        name = f"{self.folder.name}/{self.last_path.name}"
        return f"the last good checkpoint is {name} of step {self._last_step}"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note where a resumed run goes on, and which buffers (of −∞, say) are meant so.

        A run killed between `last.ckpt` and a link to it gets the link now.
        """
        module = trainable(pl_module)
        if module.step and self.last_path.is_file():
            self._last_step = self._saved_step = module.step
            if self.best_step == module.step:
                if trainer.is_global_zero:
                    link(self.last_path, self.best_path)
            elif not trainer.strategy.broadcast(self.best_path.is_file()):
                self.best, self.best_step = math.inf, None  # it was damaged, and is selected anew
            if self._is_periodic(module.step):
                self._keep_periodic(trainer, module.step)
        buffers = {name for name, _ in pl_module.named_buffers()}
        self._never_finite = buffers & set(_not_finite(pl_module.state_dict()))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """A bad gradient spoils weights before it spoils a loss.

        Raises:
            DivergedError: if a weight or buffer is not finite; nothing is saved.
        """
        step = trainable(pl_module).step
        bad = [n for n in _not_finite(checkpoint["state_dict"]) if n not in self._never_finite]
        if bad:
            raise DivergedError(
                f"{bad[0]} was no longer finite at step {step}{batch_of(trainer, step)}, after a "
                f"gradient that was not; {self.last_good()}. "
                "Lower the learning rate, or set trainer.gradient_clip_val"
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Periodic checkpoints, and the end that a signal asked for, unless more is to follow.

        Raises:
            InterruptedRun: once the checkpoint is written.
        """
        module = trainable(pl_module)
        # windows are counted from the beginning of the epoch
        self._accumulating = (batch_idx + 1) % module.accumulate > 0 and not trainer.is_last_batch
        if self._accumulating:
            return
        self._periodic = self._is_periodic(module.step)
        if _is_followed_up(trainer, module.step):
            return  # a run resumed from here would lack what follows, which saves in its turn
        if self._due or self._periodic:
            self.save_last(trainer, pl_module)
        self._end_on_signal(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last state, and the best if the monitor has improved."""
        module = trainable(pl_module)
        value = trainer.callback_metrics.get(self.monitor or "")
        improved = value is not None and self.sign * float(value) < self.best
        if value is not None and improved:
            self.best, self.best_step = self.sign * float(value), module.step
        self._saved_step = -1  # the metrics' state has changed
        if self._accumulating:
            self._due = True
            if improved:
                trainer.save_checkpoint(self.best_path)
            return
        self.save_last(trainer, pl_module)
        if improved and trainer.is_global_zero:
            link(self.last_path, self.best_path)
        self._end_on_signal(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last state, where no validation has just saved it."""
        self.save_last(trainer, pl_module)
        self._end_on_signal(trainer, pl_module)

    def save_last(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write `last.ckpt` unless this step's is there; every rank must call it."""
        module = trainable(pl_module)
        if module.step != self._saved_step:
            self._saved_step, self._due = module.step, False
            upcoming = self.folder / "next.ckpt"
            trainer.save_checkpoint(upcoming)
            if trainer.is_global_zero:
                if self.last_path.is_file():
                    link(self.last_path, self.previous_path)
                upcoming.replace(self.last_path)
            self._last_step = module.step
            if self._periodic:
                self._keep_periodic(trainer, module.step)

    def _end_on_signal(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if signal := self._agreed_signal(trainer):
            self.save_last(trainer, pl_module)
            raise InterruptedRun(signal)

    def _agreed_signal(self, trainer: pl.Trainer) -> int:
        """The signal that any rank got, 0 for none: all must stop at the same batch."""
        signal = self.pending_signal() or 0
        if trainer.world_size == 1:
            return signal
        device = trainer.strategy.root_device
        return int(trainer.strategy.reduce(torch.tensor(signal, device=device), reduce_op="max"))

    def _is_periodic(self, step: int) -> bool:
        return self.every_n_steps is not None and step % self.every_n_steps == 0

    def _keep_periodic(self, trainer: pl.Trainer, step: int) -> None:
        if self.keep == 0 or not trainer.is_global_zero:
            return
        link(self.last_path, self.folder / f"step-{step:08d}.ckpt")
        for old in sorted(self.folder.glob("step-*.ckpt"))[: -self.keep]:
            old.unlink()


def _is_followed_up(trainer: pl.Trainer, step: int) -> bool:
    """Whether a validation or the end of the epoch comes right after this batch."""
    if trainer.should_stop or trainer.is_last_batch:
        return True
    every = trainer.val_check_batch if trainer.check_val_every_n_epoch is None else None
    return every is not None and step % every == 0 and trainer.enable_validation


def _not_finite(state: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that hold NaN or an infinity; one copy from the device."""
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    finite = [t.isfinite().all() for t in tensors.values()]
    if not finite:
        return []
    flags = torch.stack([flag.to(finite[-1].device) for flag in finite]).tolist()
    return [name for name, good in zip(tensors, flags, strict=True) if not good]


def link(source: Path, target: Path) -> None:
    """`target` becomes `source`'s present content, at once, without a second copy if possible."""
    temporary = target.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # a rename to another name of the same file does nothing
