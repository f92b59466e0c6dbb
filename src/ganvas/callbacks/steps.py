"""What acts on single steps in the same way for every family: budget, learning rate, clipping."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from ganvas.protocols import Schedule, trainable


class Budget(pl.Callback):
    """Ends training after `max_steps` batches, however many optimisers there are."""

    def __init__(self, *, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run resumed with its budget spent trains no further."""
        if trainable(pl_module).step >= self.max_steps:
            trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Ask for the end once the budget is spent."""
        module = trainable(pl_module)
        if module.step >= self.max_steps:
            trainer.should_stop = True


class LearningRate(pl.Callback):
    """Every learning rate is its own first value times a schedule of the step.

    A pure function of the step: nothing to save, and the same for one optimiser or many.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note each group's first value (kept in the optimiser's own state when resumed)."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rates of this step."""
        module = trainable(pl_module)
        factor = self.schedule(module.step)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor


class GradientClipping(pl.Callback):
    """Scales each optimiser's gradients so that their norm is at most `max_norm`.

    Works on unscaled gradients right before the step, for automatic and manual optimisation alike
    (Lightning's own option refuses manual optimisation).
    """

    def __init__(self, *, max_norm: float) -> None:
        self.max_norm = max_norm

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the scaler of `16-mixed` unscale gradients before the step, not in a fused one."""
        for optimizer in trainer.optimizers:
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Clip this optimiser's gradients (Pascanu et al. 2013)."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.max_norm)
