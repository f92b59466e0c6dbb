"""Training figures: buffered on the device, written at the logging cadence."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from ganvas.errors import GanvasError
from ganvas.protocols import TellsImages, Trainable, trainable

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.protocols import Recorder


_log = logging.getLogger(__name__)

Watcher = Callable[[Mapping[str, float], int], None]
"""Takes figures as they are written, and their step."""

SKIPPABLE = "_gradient_norm"
MAX_SKIPS = 50
"""Steps in a row that the scaler of `16-mixed` may skip: 2**50 is far more than it scales by."""


class DivergedError(GanvasError):
    """A loss part, a gradient norm or a weight became NaN or infinite."""


class Figures(pl.Callback):
    """Writes every step's loss parts to the trace, and their means and the rates to the record.

    The parts stay on the device as they are made; once per `every_n_steps` they come over in one
    copy. Validation means are written as they are published.

    A part that is not finite ends the run. Under `16-mixed` gradient norms may be: the scaler
    skips such a step by design and lowers its scale. They stay in the trace and out of the means,
    and end the run only where `MAX_SKIPS` steps in a row were skipped.

    Args:
        recorder: takes the figures.
        every_n_steps: batches per window.
        last_good: says which checkpoint is the last before a divergence.

    Attributes:
        watchers: are called with all that is written, and its step.
        latest: the last means written, without the split's name, for the progress bar.
        images_per_second: over the last window.
        training_seconds: from the first batch to the end of the last training loop.
    """

    def __init__(
        self,
        recorder: Recorder | None,
        *,
        every_n_steps: int,
        last_good: Callable[[], str] = lambda: "no checkpoint was written before it",
    ) -> None:
        self.recorder = recorder
        self.every_n_steps = every_n_steps
        self.last_good = last_good
        self.watchers: list[Watcher] = []
        self.latest: dict[str, float] = {}
        self.images_per_second = 0.0
        self.seconds = 0.0
        self.training_seconds = 0.0
        self._steps: list[int] = []
        self._parts: list[dict[str, Tensor]] = []
        self._began = time.monotonic()
        self._window_began = self._began
        self._window_images = 0
        self._skips: dict[str, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """Training seconds so far, and the steps that are not written yet, of all ranks."""
        rows = _fetch(self._parts) if self._parts else []
        parts = [{name: torch.tensor(value) for name, value in row.items()} for row in rows]
        return {"seconds": self.elapsed(), "steps": list(self._steps), "parts": parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the clock and the half-full window up."""
        self.seconds = state_dict["seconds"]
        self._steps, self._parts = list(state_dict["steps"]), list(state_dict["parts"])

    def elapsed(self) -> float:
        """Seconds of this run, earlier sessions included."""
        return self.seconds + time.monotonic() - self._began

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        module = trainable(pl_module)
        self._began = self._window_began = time.monotonic()
        self._window_images = module.counters["images_seen"]

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep this step's parts; write once the window is full."""
        module = trainable(pl_module)
        self._steps.append(module.step)
        self._parts.append(module.last_parts)
        if module.step % self.every_n_steps == 0:
            self.flush(trainer, pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is buffered, so that figures stand in the order of steps."""
        if not trainer.sanity_checking:
            self.flush(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the validation means."""
        module = trainable(pl_module)
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        self._write(module, values)
        self._window_began = time.monotonic()  # rates are of training alone

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """No diverged state is saved, however long the window is.

        Raises:
            DivergedError: at the first buffered part that is not finite; the steps are written.
        """
        del checkpoint
        rows = _fetch(self._parts) if self._parts else []
        skips = dict(self._skips) if _scales(trainer) else None
        if _fault(self._steps, rows, skips=skips):
            self.flush(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the rest."""
        self.flush(trainer, pl_module)
        self.training_seconds = time.monotonic() - self._began

    def flush(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring the buffered parts over and write them.

        Raises:
            DivergedError: at the first part that is not finite.
        """
        if not self._steps:
            return
        module = trainable(pl_module)
        steps, rows = self._steps, _fetch(self._parts)
        self._steps, self._parts = [], []
        if self.recorder is not None:
            self.recorder.log_trace(steps, _columns(rows))
        skips = self._skips if _scales(trainer) else None
        kept = rows if skips is None else _without_skipped(rows)
        means = {f"train/{name}": mean for name, mean in _means(kept).items()}
        self._write(module, means | self._rates(trainer, module))
        if found := _fault(steps, rows, skips=skips):
            fault, step = found
            raise DivergedError(
                f"{fault}{batch_of(trainer, step)}; {self.last_good()}. "
                "Lower the learning rate, or set trainer.gradient_clip_val"
            )

    def _rates(self, trainer: pl.Trainer, module: Trainable) -> dict[str, float]:
        now, images = time.monotonic(), module.counters["images_seen"]
        seconds = max(now - self._window_began, 1e-9)
        self.images_per_second = (images - self._window_images) / seconds
        self._window_began, self._window_images = now, images
        rates = {"train/images_per_second": self.images_per_second}
        extra = {f"train/{k}": float(v) for k, v in module.counters.items() if k.endswith("_steps")}
        for name, optimizer in zip(module.optimizer_names, trainer.optimizers, strict=True):
            key = f"train/lr_{name}" if name else "train/lr"
            rates[key] = float(optimizer.param_groups[0]["lr"])
        return rates | extra

    def _write(self, module: Trainable, values: dict[str, float]) -> None:
        self.latest |= {name.split("/", 1)[1]: value for name, value in values.items()}
        for watcher in self.watchers:
            watcher(values, module.step)
        if self.recorder is not None and values:
            self.recorder.log_metrics(
                values,
                step=module.step,
                images_seen=module.counters["images_seen"],
                seconds=self.elapsed(),
            )


def _fetch(parts: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Values by step and name, in one copy from the device."""
    tensors = [tensor for step in parts for tensor in step.values()]
    stacked = torch.stack([t.float().to(tensors[-1].device) for t in tensors])
    if torch.distributed.is_initialized():  # ranks hold equal shares: the mean is the batch's
        torch.distributed.all_reduce(stacked)
        stacked /= torch.distributed.get_world_size()
    values = iter(stacked.tolist())
    return [{name: next(values) for name in step} for step in parts]


def _columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name, math.nan) for row in rows] for name in names}


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the steps that have the part."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {n: math.fsum(v := [r[n] for r in rows if n in r]) / len(v) for n in names}


def _scales(trainer: pl.Trainer) -> bool:
    """Whether a scaler skips steps whose gradients are not finite (`16-mixed`)."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None


def _without_skipped(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The rows without gradient norms that are not finite."""
    return [
        {n: v for n, v in row.items() if math.isfinite(v) or not n.endswith(SKIPPABLE)}
        for row in rows
    ]


def batch_of(trainer: pl.Trainer, step: int) -> str:
    """Which batch that step had; its images go to the log."""
    loader = trainer.train_dataloader
    if not isinstance(loader, TellsImages):
        return ""
    epoch, position, images = loader.batch_images(step)
    _log.info(
        "step %d had the images %s of the training split; `ganvas latent` takes them as images=[…] "
        "split=train",
        step,
        images,
    )
    return f" (batch {position} of epoch {epoch}; its images are listed in log.txt)"


def _fault(
    steps: Sequence[int], rows: Sequence[dict[str, float]], *, skips: dict[str, int] | None
) -> tuple[str, int] | None:
    """The first part that is not finite in words, and its step.

    Args:
        steps: of the rows.
        rows: parts by name.
        skips: how many steps in a row were skipped until now, by gradient norm, to be counted on;
            None where none may be.
    """
    for step, row in zip(steps, rows, strict=True):
        for name, value in row.items():
            if math.isfinite(value):
                if skips:
                    skips.pop(name, None)
                continue
            if skips is None or not name.endswith(SKIPPABLE):
                return f"{name} became {value} at step {step}", step
            skips[name] = skips.get(name, 0) + 1
            if skips[name] > MAX_SKIPS:
                told = f"{name} was {value} for {skips[name]} steps in a row at step {step}"
                return told, step
    return None
