"""What a cell will cost: parameters, memory, steps, and the time of a step, which is measured."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, final

import pytorch_lightning as pl
import torch

from ganvas.callbacks.steps import GradientClipping
from ganvas.engine.build import build_model
from ganvas.engine.check import check_build
from ganvas.engine.report import estimated_mib, layers
from ganvas.engine.trainer import make_trainer, on_gpu, quiet_lightning, total_steps
from ganvas.models.adversarial import AdversarialModule
from ganvas.types import Batch, ImageShape

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule

WARM_UP_STEPS = 3
MEASURED_SECONDS = 0.8
SECONDS_PER_SHAPE = 5.0
SECONDS_IN_ALL = 20.0
NUM_BATCHES = 4

NO_MATTER = (
    "seed", "name", "tags", "notes", "logger", "paths", "callbacks", "metrics", "evaluation",
    "test", "init_from", "checkpoint",
)  # fmt: skip
"""Sections that a training step does not depend on."""
OF_THE_STEP = (
    "precision", "accelerator", "devices", "num_nodes", "deterministic", "compile",
    "gradient_clip_val", "accumulate_grad_batches", "num_threads", "sync_batchnorm",
)  # fmt: skip
"""Keys of `trainer` that it does depend on."""


@dataclass(frozen=True)
class Estimate:
    """Of one cell.

    Attributes:
        num_parameters: of all networks.
        memory_mib: see `engine.report.estimated_mib`.
        num_steps: of the budget; None where only the files can tell.
        step_seconds: of one training step; None where it was not timed.
    """

    num_parameters: int
    memory_mib: float
    num_steps: int | None
    step_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """All training steps."""
        if self.num_steps is None or self.step_seconds is None:
            return None
        return self.num_steps * self.step_seconds


@final
class Estimator:
    """Estimates cells; those whose steps cost the same are measured once.

    Args:
        threads: CPU threads that a job is given.
    """

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._known: dict[str, tuple[int, float, float | None]] = {}
        self._spent = 0.0

    def __call__(self, checked: Checked) -> Estimate:
        """Build the cell, and train it for a second on random images.

        Raises:
            ConfigError: if it can't be built.
        """
        data, model = check_build(checked)
        key = step_key(checked.config)
        if key not in self._known:
            nets = model.networks().values()
            parameters = sum(p.numel() for net in nets for p in net.parameters())
            mib = estimated_mib(model, layers(model, data), batch_size=data.batch_size)
            self._known[key] = (parameters, mib, self._timed(checked, data))
        parameters, mib, seconds = self._known[key]
        return Estimate(parameters, mib, _num_steps(checked, data), seconds)

    def _timed(self, checked: Checked, data: ImageData) -> float | None:
        if self._spent > SECONDS_IN_ALL:
            return None
        began, former = time.monotonic(), torch.get_num_threads()
        torch.set_num_threads(checked.settings.trainer.num_threads or self._threads)
        try:
            return step_seconds(checked, data)
        finally:
            torch.set_num_threads(former)
            self._spent += time.monotonic() - began


def _num_steps(checked: Checked, data: ImageData) -> int | None:
    trainer, per_epoch = checked.settings.trainer, data.steps_per_epoch()
    if per_epoch is None:
        return trainer.max_steps if trainer.max_epochs is None else None
    return total_steps(checked, per_epoch)


def step_key(config: dict[str, Any]) -> str:
    """Equal for cells whose training steps cost the same."""
    kept = {key: value for key, value in config.items() if key not in NO_MATTER}
    kept["trainer"] = {key: config["trainer"].get(key) for key in OF_THE_STEP}
    kept["dataset"] = {k: v for k, v in config["dataset"].items() if k != "split_seed"}
    for section in ("loss", "optimizer"):
        kept[section] = _without_numbers(config.get(section))
    kept["penalty"] = _without_weights(config.get("penalty"))
    return json.dumps(kept, sort_keys=True, default=str)


def _without_numbers(node: Any) -> Any:
    """Weights of terms and rates of learning cost nothing."""
    if isinstance(node, dict):
        return {key: _without_numbers(child) for key, child in node.items()}
    if isinstance(node, list):
        return [_without_numbers(child) for child in node]
    return None if isinstance(node, int | float) and not isinstance(node, bool) else node


def _without_weights(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: _without_weights(child) for key, child in node.items() if key != "weight"}


def step_seconds(checked: Checked, data: ImageData) -> float | None:
    """Mean seconds of a training step, of both sides of a game; None where it takes too long.

    Several ranks are measured as one of them with its share of the batch, without exchange. A
    model that is compiled is not measured: compiling takes longer than this may.
    """
    trainer = checked.settings.trainer
    if trainer.compile:
        return None
    share = data.batch_size // (trainer.devices * trainer.num_nodes)
    alone = {"devices": 1, "num_nodes": 1, "sync_batchnorm": False, "val_check_interval": None}
    endless = {"max_epochs": 1, "max_steps": None, "check_val_every_n_epoch": 1}
    settings = checked.settings.model_copy(
        update={"trainer": trainer.model_copy(update={**alone, **endless})}
    )
    checked = replace(checked, settings=settings)
    quiet_lightning()
    model = build_model(checked, data, restoring=True)
    model.accumulate = trainer.accumulate_grad_batches
    watch = Stopwatch(_period(model, gpu=on_gpu(trainer)))
    clip = trainer.gradient_clip_val
    callbacks = [watch, *([GradientClipping(max_norm=clip)] if clip else [])]
    fit = make_trainer(checked, model, callbacks=callbacks, validates=False)
    device = fit.strategy.root_device if on_gpu(settings.trainer) else torch.device("cpu")
    batches = RandomBatches(model, data.image_shape, data.num_classes, size=share, device=device)
    with _deadline(SECONDS_PER_SHAPE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit.fit(model, train_dataloaders=batches)
    return watch.mean()


def _period(model: GenerativeModule, *, gpu: bool) -> int:
    """Steps after which a training loop does the same again; looking at a GPU's clock costs."""
    steps = model.n_critic if isinstance(model, AdversarialModule) else 1
    return steps * model.accumulate * (10 if gpu else 1)


@final
class RandomBatches:
    """As many batches of noise as anyone asks for, in the model's value range.

    Args:
        model: that they are for.
        shape: (C, H, W) of an image.
        num_classes: of labels; None for none.
        size: images per batch.
        device: where they are.
    """

    def __init__(
        self,
        model: GenerativeModule,
        shape: ImageShape,
        num_classes: int | None,
        *,
        size: int,
        device: torch.device,
    ) -> None:
        low, high = model.value_range
        self._batches = []
        for _ in range(NUM_BATCHES):
            images = torch.rand(size, *shape, device=device) * (high - low) + low
            labels = torch.randint(num_classes, (size,), device=device) if num_classes else None
            self._batches.append(Batch(images, labels))

    def __len__(self) -> int:
        return 10**9

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._batches


class _OverTimeError(Exception):
    pass


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Ends what is inside after so many seconds, between two operations (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _OverTimeError

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.suppress(_OverTimeError):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


@final
class Stopwatch(pl.Callback):
    """Times steps in whole periods, leaves out those that warm up, and then ends training.

    Args:
        period: steps after which training does the same again.
    """

    def __init__(self, period: int) -> None:
        self._period = period
        self._warm_up = -(-WARM_UP_STEPS // period)
        self._steps = 0
        self._marks: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """The first step begins."""
        del trainer, pl_module
        if not self._marks:
            self._mark()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Look at the clock after each period."""
        del pl_module
        self._steps += 1
        if self._steps % self._period == 0:
            self._mark()
            measured = self._marks[self._warm_up :]
            trainer.should_stop = (
                len(measured) > 1 and measured[-1] - measured[0] >= MEASURED_SECONDS
            )

    def _mark(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._marks.append(time.monotonic())

    def mean(self) -> float | None:
        """Seconds per step; where few were made those of the last period, or None."""
        left_out = max(0, min(self._warm_up, len(self._marks) - 2))
        measured = self._marks[left_out:]
        if len(measured) < 2:  # noqa: PLR2004
            return None
        return (measured[-1] - measured[0]) / (len(measured) - 1) / self._period
