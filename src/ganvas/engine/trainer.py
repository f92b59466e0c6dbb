"""The Lightning trainer that a config asks for."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import DDPStrategy

from ganvas.callbacks.agreement import RanksAgree
from ganvas.callbacks.checkpoints import Checkpoints
from ganvas.callbacks.collapse import Collapse
from ganvas.callbacks.figures import Figures
from ganvas.callbacks.images import ImageGrids
from ganvas.callbacks.random_state import RandomState
from ganvas.callbacks.steps import Budget, GradientClipping, LearningRate
from ganvas.engine.build import build_callbacks, instantiate
from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.engine.measures import Monitors
from ganvas.schedules import as_schedule
from ganvas.tracking import config_hash

if TYPE_CHECKING:
    from pathlib import Path

    from ganvas.engine.build import Checked
    from ganvas.engine.settings import TrainerSettings
    from ganvas.engine.signals import SignalInbox
    from ganvas.evaluation.callback import Evaluations
    from ganvas.models.base import GenerativeModule
    from ganvas.protocols import Recorder

MUTED = (
    r".*does not have many workers.*",
    r".*`LightningDataModule`.*",
    r".*You're resuming from a checkpoint that ended before the epoch ended.*",
    r".*The number of training batches .* is smaller than the logging interval.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*You defined a `validation_step` but have no `val_dataloader`.*",
    r".*Found .* module\(s\) in eval mode at the start of training.*",  # the averaged generator
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*It is recommended to use .*sync_dist=True.*",  # what is logged is of all ranks already
)


class NoProfiler(PassThroughProfiler):
    """Measures nothing, without making a context manager for every hook of every callback."""

    _nothing: AbstractContextManager[None] = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """A context that does nothing, always the same one."""
        del action_name
        return self._nothing


def quiet_lightning() -> None:
    """No start-up tips, no advertisements, none of the warnings that do not apply to us."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in MUTED:
        warnings.filterwarnings("ignore", message=pattern)


def on_gpu(settings: TrainerSettings) -> bool:
    """Whether the trainer's accelerator is CUDA; `auto` takes it where there is one."""
    return settings.accelerator == "gpu" or (
        settings.accelerator == "auto" and torch.cuda.is_available()
    )


def deterministic_mode(settings: TrainerSettings) -> bool | Literal["warn"]:
    """Whether algorithms must be deterministic; by default on the CPU, and not on a GPU."""
    return not on_gpu(settings) if settings.deterministic is None else settings.deterministic


def prepare_process(checked: Checked) -> None:
    """Seeds, threads and determinism of this process, before anything is built."""
    import random

    import numpy as np

    trainer = checked.settings.trainer
    if trainer.num_threads:
        torch.set_num_threads(trainer.num_threads)
    seed = checked.settings.seed
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if not torch.cuda.is_available():
        # Optimisers ask for the accelerator at every step, and a CUDA build of torch then looks
        # for the driver's library each time: 3 % of a dense VAE's step. This answers at once.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def make_trainer(
    checked: Checked,
    model: GenerativeModule,
    *,
    callbacks: Sequence[pl.Callback],
    validates: bool,
    identity: Mapping[str, Any] | None = None,
) -> pl.Trainer:
    """A trainer without Lightning's own logging, checkpoints and bar: ours take their place.

    `identity` goes into each checkpoint.
    """
    settings = checked.settings.trainer
    gpu = on_gpu(settings)
    every_batches = settings.val_check_interval
    automatic = model.automatic_optimization
    trainer = pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(settings, automatic=automatic),
        sync_batchnorm=settings.sync_batchnorm,
        precision="32-true" if settings.precision == "32" else settings.precision,
        max_epochs=-1 if settings.max_epochs is None else settings.max_epochs,
        max_steps=-1,
        deterministic=deterministic_mode(settings),
        accumulate_grad_batches=settings.accumulate_grad_batches if automatic else 1,
        check_val_every_n_epoch=None if every_batches else settings.check_val_every_n_epoch,
        val_check_interval=every_batches,
        limit_val_batches=None if validates else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        profiler=NoProfiler(),
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO(identity), _environment()],
    )
    # Lightning would put its own SIGTERM handler over ours, which raises at its own moment.
    trainer._signal_connector.register_signal_handlers = _no_handlers  # type: ignore[method-assign]
    return trainer


def _environment() -> ClusterEnvironment:
    """Where ranks are told who they are: torchrun's variables, which `ranks` sets as well.

    Named, as Lightning would take any job of SLURM for one of many ranks that srun started.
    """
    torchrun = TorchElasticEnvironment.detect()
    return TorchElasticEnvironment() if torchrun else LightningEnvironment()


def _no_handlers() -> None:
    """Signals are the business of `engine.signals`."""


class Ranks(DDPStrategy):
    """Several processes with one model; one that has nothing to train is left unwrapped."""

    def configure_ddp(self) -> None:
        """Torch's wrapper exchanges gradients, and refuses a model without any."""
        if self.model is not None and any(p.requires_grad for p in self.model.parameters()):
            super().configure_ddp()


def _strategy(settings: TrainerSettings, *, automatic: bool) -> Any:
    if settings.devices * settings.num_nodes == 1:
        return "auto"
    return Ranks(
        find_unused_parameters=not automatic,  # each side of a game leaves the other's out
        process_group_backend="nccl" if on_gpu(settings) else "gloo",
    )


def make_callbacks(
    checked: Checked,
    model: GenerativeModule,
    *,
    folder: Path,
    recorder: Recorder | None,
    inbox: SignalInbox,
    evaluations: Evaluations | None = None,
) -> tuple[list[pl.Callback], Figures, Checkpoints]:
    """The callbacks of one training run, in the order in which they act."""
    settings = checked.settings.trainer
    saving = settings.checkpoint
    monitors = Monitors(checked, model, evaluations)
    monitor = saving.monitor or monitors.default
    checkpoints = Checkpoints(
        folder / "checkpoints",
        monitor=monitor,
        mode=_mode(monitors, monitor, saving.mode),
        every_n_steps=saving.every_n_steps,
        keep=saving.keep,
        pending_signal=inbox,
    )
    figures = Figures(
        recorder, every_n_steps=settings.log_every_n_steps, last_good=checkpoints.last_good
    )
    own = [*build_callbacks(checked), *([evaluations] if evaluations else [])]
    for callback in own:
        if isinstance(callback, ImageGrids | Collapse):
            callback.recorder = recorder
        if isinstance(callback, Collapse):
            callback.metric_mode = _mode(monitors, callback.metric, callback.metric_mode)
            figures.watchers.append(callback.observe)
    ordered = [RandomState(), figures, *_step_callbacks(checked, monitors), *own, checkpoints]
    return ordered, figures, checkpoints


def _step_callbacks(checked: Checked, monitors: Monitors) -> list[pl.Callback]:
    """Budget, schedule, clipping, early stopping and agreement of ranks, where asked for."""
    settings = checked.settings.trainer
    acting: list[pl.Callback] = []
    if settings.max_steps:
        acting.append(Budget(max_steps=settings.max_steps))
    if settings.lr_schedule:
        acting.append(LearningRate(as_schedule(instantiate(settings.lr_schedule))))
    if settings.gradient_clip_val:
        acting.append(GradientClipping(max_norm=settings.gradient_clip_val))
    if stop := settings.early_stopping:
        watched = str(stop.monitor or monitors.default)
        acting.append(
            EarlyStopping(
                watched,
                mode=_mode(monitors, watched, stop.mode),
                patience=stop.patience,
                min_delta=stop.min_delta,
            )
        )
    if settings.devices * settings.num_nodes > 1:
        acting.append(RanksAgree(config_hash(checked.config)))
    return acting


def _mode(monitors: Monitors, monitor: str | None, given: str | None) -> Literal["min", "max"]:
    """The direction of a monitor; of no matter where there is none."""
    rising = monitor is not None and monitors.mode(monitor, given) == "max"
    return "max" if rising else "min"


def total_steps(checked: Checked, steps_per_epoch: int) -> int | None:
    """Batches that the budget allows; None where only a callback can end the run."""
    settings = checked.settings.trainer
    by_epochs = settings.max_epochs * steps_per_epoch if settings.max_epochs else None
    limits = [limit for limit in (by_epochs, settings.max_steps) if limit is not None]
    return min(limits) if limits else None
