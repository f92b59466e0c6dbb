"""Grids of images during training; points of the plane as one picture."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from ganvas import pictures
from ganvas.protocols import Conditional, Reconstructs, Samples, Trainable, labels_for, trainable

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.protocols import Recorder


COLUMNS = 8


class ImageGrids(pl.Callback):
    """Reconstructions beside originals, and samples from a noise that stays the same.

    What a model shows follows from its protocols. Nothing of the run's random numbers is used.
    Where images are points of the plane, each picture has as many real points beneath, in grey.

    Args:
        num: images per grid.
        every_n_epochs: epochs between pictures; None for about ten times over the run.
    """

    def __init__(self, *, num: int = 64, every_n_epochs: int | None = None) -> None:
        if num < 1:
            raise ValueError(f"callbacks.images.num must be at least 1, got {num}")
        self.num = num
        self.every_n_epochs = every_n_epochs
        self.recorder: Recorder | None = None
        self._shown_step = -1
        self._real: tuple[Tensor, Tensor | None] | None = None
        self._beneath: Tensor | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show every so many epochs."""
        every = self.every_n_epochs or max(1, (trainer.max_epochs or 1) // 10)
        if (trainer.current_epoch + 1) % every == 0:
            self.show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the final state."""
        self.show(trainer, pl_module)

    def show(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the grids that this model can make, once per step."""
        module = trainable(pl_module)
        if self.recorder is None or module.step == self._shown_step or not trainer.is_global_zero:
            return
        self._shown_step = module.step
        modes = [(part, part.training) for part in pl_module.modules()]
        pl_module.eval()
        with torch.no_grad():
            if isinstance(pl_module, Samples):
                images = pl_module.sample(self.num, seed=module.seed)
                columns = self._columns(pl_module)
                self._record(module, "samples", images, trainer=trainer, columns=columns)
            if isinstance(pl_module, Reconstructs):
                x, y = self._some_images(trainer)
                made = pl_module.reconstruct(x, **labels_for(pl_module, y))
                shown = made if pictures.are_points(x) else pictures.pairs(x, made)
                self._record(module, "reconstructions", shown, trainer=trainer)
        for part, training in modes:
            part.training = training

    def _some_images(self, trainer: pl.Trainer) -> tuple[Tensor, Tensor | None]:
        """The same images each time, and their labels: of validation, or of train without one."""
        if self._real is None:
            batch, num = next(iter(self._loader(trainer))), self.num // 2
            self._real = batch.x[:num], None if batch.y is None else batch.y[:num]
        return self._real

    def _loader(self, trainer: pl.Trainer) -> Any:
        return trainer.val_dataloaders or trainer.train_dataloader

    def _real_points(self, trainer: pl.Trainer) -> Tensor:
        """As many real points as there are in a picture, or all; the same ones each time."""
        if self._beneath is None:
            batches: list[Tensor] = []
            for batch in self._loader(trainer):
                batches.append(batch.x)
                if sum(map(len, batches)) >= self.num:
                    break
            self._beneath = torch.cat(batches)[: self.num]
        return self._beneath

    def _columns(self, model: object) -> int:
        """Of a grid of samples: those of a conditional model stand one class below another."""
        if isinstance(model, Conditional):
            return pictures.columns_of_classes(self.num, num_classes=model.num_classes)
        return COLUMNS

    def _record(
        self,
        module: Trainable,
        name: str,
        images: Tensor,
        *,
        trainer: pl.Trainer,
        columns: int = COLUMNS,
    ) -> None:
        if self.recorder is None:
            return
        unit = partial(pictures.to_unit, value_range=module.value_range)
        if pictures.are_points(images):
            beneath = unit(self._real_points(trainer))
            picture = pictures.scatter(unit(images), beneath=beneath)
        else:
            picture = pictures.grid(unit(images), columns=columns)
        self.recorder.log_images(name, picture, step=module.step)
