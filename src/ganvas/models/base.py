"""What every model has: counters in batches, keyed noise, and exact means over a split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganvas.nn.noise import keyed_normal, keyed_rows
from ganvas.protocols import Reconstructs, labels_for
from ganvas.types import Batch, ImageShape, ValueRange

TRAIN_STREAM, EVAL_STREAM, SAMPLE_STREAM = 0, 1, 2


class GenerativeModule(pl.LightningModule, ABC):
    """Abstract root of both bases.

    A model counts batches itself: `step` is the number of training batches consumed. Lightning's
    `global_step` counts optimiser steps and means something else for two optimisers.

    Attributes:
        value_range: of the images this model wants; data are delivered so.
        monitor: metric that selects the best checkpoint, or None where none is fit for it.
        monitor_mode: "min" or "max".
        standard_normal_prior: whether `prior_codes` are from N(0, I), which can be truncated.
        higher_is_better: direction of each reported part; parts absent here have none.
        seed: of the run; the engine sets it before training.
        accumulate: batches per optimiser step; the engine sets it before training.
        last_parts: the detached loss parts of the last training step, for the trace.
    """

    value_range: ValueRange = (0.0, 1.0)
    standard_normal_prior: bool = False
    monitor: ClassVar[str | None] = None
    monitor_mode: ClassVar[str] = "min"
    higher_is_better: ClassVar[Mapping[str, bool]] = {}

    def __init__(self, *, image_shape: ImageShape) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.seed = 0
        self.accumulate = 1
        self.counters = {"step": 0, "images_seen": 0}
        self.last_parts: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Lightning notes the current hook on the module some forty times a batch.

        `nn.Module.__setattr__` looks through parameters, buffers and sub-modules each time, which
        costs several per cent of a small model's step; this one name can't be any of them.
        """
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def networks(self) -> Mapping[str, nn.Module]:
        """The trained networks by name: compiled, counted and tabled by the engine."""

    @abstractmethod
    def evaluation_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """Scalar means over one batch, by name, to be averaged over a split."""

    @abstractmethod
    def training_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """All losses of one batch, without a step: sizes a model before it is trained."""

    def reconstruction_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """`reconstruction_mse` where the model reconstructs: the one error that all families share.

        Squared error of `reconstruct(x)` in [0, 1], summed over pixels, mean over the batch:
        nothing is sampled or corrupted, whatever was trained with.
        """
        if not isinstance(self, Reconstructs):
            return {}
        low, high = self.value_range
        error = (self.reconstruct(batch.x, **labels_for(self, batch.y)) - batch.x) / (high - low)
        return {"reconstruction_mse": error.square().flatten(1).sum(1).mean()}

    @classmethod
    def directions(cls) -> Mapping[str, bool]:
        """Whether higher is better, for each reported part that has a direction."""
        return {"reconstruction_mse": False, **cls.higher_is_better}

    @property
    def step(self) -> int:
        """Training batches consumed so far."""
        return self.counters["step"]

    def noise(self, batch: Batch, *size: int, use: int = 0) -> Tensor:
        """Standard normal noise `(len(batch), *size)` for this batch.

        A function of (seed, step) in training and of (seed, position) in evaluation, drawn for the
        global batch and cut to this rank's share. A method that needs several independent draws
        for one batch numbers them by `use`.
        """
        if self.training:
            key: tuple[int, ...] = (self.seed, TRAIN_STREAM, self.step)
        else:
            key = (self.seed, EVAL_STREAM, batch.start)
        if use:
            key = (*key, use)
        total = batch.total or len(batch)
        everyone = keyed_normal((total, *size), *key, device=batch.x.device)
        return everyone[batch.offset : batch.offset + len(batch)]

    def prior_noise(self, num: int, width: int, *, seed: int) -> Tensor:
        """Codes `(num, width)` from N(0, I): the i-th is a function of (seed, i) and the device."""
        return keyed_rows(num, width, seed, SAMPLE_STREAM, device=self.device)

    def advance(self, batch: Batch, parts: Mapping[str, Tensor]) -> None:
        """Count this batch; to be called once at the end of each training step."""
        self.last_parts = {name: part.detach() for name, part in parts.items()}
        self.counters["step"] += 1
        self.counters["images_seen"] += batch.total or len(batch)

    def reset_counters(self) -> None:
        """Begin to count anew (after taking over another run's weights)."""
        self.counters = dict.fromkeys(self.counters, 0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Counters travel with the weights."""
        checkpoint["ganvas_counters"] = dict(self.counters)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counters up where the checkpoint left them."""
        self.counters.update(checkpoint["ganvas_counters"])

    # Evaluation: sums in float64, so that the mean does not depend on how a split is cut.

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the split's sums."""
        del batch_idx
        _add_batch(self._sums, self, batch)

    def on_validation_epoch_end(self) -> None:
        """Publish the means as `val/…`."""
        self._publish("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As in validation."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Publish the means as `test/…`."""
        self._publish("test")

    def _publish(self, split: str) -> None:
        sums, self._sums = self._sums, {}
        if self.trainer.world_size > 1:
            sums = _sum_over_ranks(sums)
        means = {
            f"{split}/{name}": s / sums["count"] for name, s in sums.items() if name != "count"
        }
        self.log_dict(means, logger=False, sync_dist=False, rank_zero_only=False)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """The loader delivers on the device already."""
        del device, dataloader_idx
        return batch


def _add_batch(sums: dict[str, Tensor], model: GenerativeModule, batch: Batch) -> None:
    """Add one batch's parts times its size; a rank's share of the last batch may be empty."""
    if len(batch) == 0:
        return
    parts = {**model.evaluation_parts(batch), **model.reconstruction_parts(batch)}
    for name, part in parts.items():
        weighted = part.detach().double() * len(batch)
        sums[name] = sums[name] + weighted if name in sums else weighted
    count = torch.tensor(float(len(batch)), dtype=torch.float64)
    sums["count"] = sums["count"] + count if "count" in sums else count


def _sum_over_ranks(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sums of all ranks; a rank that saw no image takes the names from one that did."""
    gathered: list[dict[str, float]] = [{} for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(gathered, {k: v.item() for k, v in sums.items()})
    names = dict.fromkeys(name for rank in gathered for name in rank)
    return {
        name: torch.tensor(sum(rank.get(name, 0.0) for rank in gathered), dtype=torch.float64)
        for name in names
    }
