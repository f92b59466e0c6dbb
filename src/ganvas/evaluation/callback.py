"""Measures during training: at validations and in test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch

from ganvas.evaluation.measure import Measure, named
from ganvas.evaluation.subject import Options, Subject
from ganvas.nn.ema import ExponentialMovingAverage
from ganvas.types import Finding, Split

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.models.base import GenerativeModule
    from ganvas.nn.extractor import Extractor


class Evaluations(pl.Callback):
    """Takes measures of the model at validations and in test, logged as `val/…` and `test/…`.

    Nothing of the run's random numbers is used, so training is the same with and without.

    Args:
        measures: by the name of their option.
        data: prepared before training begins.
        options: of the evaluation.
        extractor: of features, where a measure needs them.
        cache_dir: where statistics of real images are kept; None for in memory only.
        weights_dir: where published weights are.

    Attributes:
        seconds: spent on measures at validations.
        on_protocols: is told what the values were measured on, by their full names, once they are.
    """

    def __init__(
        self,
        measures: Mapping[str, Measure],
        data: ImageData,
        *,
        options: Options,
        extractor: Extractor | None = None,
        cache_dir: str | Path | None = None,
        weights_dir: str | Path | None = None,
    ) -> None:
        self.measures, self.data, self.options = dict(measures), data, options
        self.extractor, self.cache_dir, self.weights_dir = extractor, cache_dir, weights_dir
        self.on_protocols: Callable[[dict[str, Any]], None] = lambda protocols: None
        self.seconds = 0.0
        self._protocols: dict[str, dict[str, Any]] = {}

    @property
    def directions(self) -> dict[str, bool]:
        """Whether higher is better, by name, for the measured values that have a direction."""
        found = {k: v for m in self.measures.values() for k, v in m.directions.items()}
        return {named(name, self._features): better for name, better in found.items()}

    @property
    def monitor(self) -> str | None:
        """What selects the best checkpoint of a model that has no monitor of its own."""
        found = [m.monitor for m in self.measures.values() if m.monitor]
        return f"val/{named(found[0], self._features)}" if found else None

    @property
    def _features(self) -> str | None:
        return None if self.extractor is None else self.extractor.name

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure on the validation split."""
        began = time.monotonic()
        self._take("val", trainer, pl_module)
        self.seconds += time.monotonic() - began

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure on the test split."""
        self._take("test", trainer, pl_module)

    def _take(self, split: Split, trainer: pl.Trainer, model: Any) -> None:
        subject = Subject(
            model,
            self.data,
            split=split,
            options=self.options,
            extractor=self.extractor,
            cache_dir=self.cache_dir,
            weights_dir=self.weights_dir,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        found = take(self.measures, subject)
        exact = {"dtype": torch.float64, "device": model.device}
        values = {f"{split}/{name}": torch.tensor(f.value, **exact) for name, f in found.items()}
        model.log_dict(values, logger=False, sync_dist=False, rank_zero_only=False)
        shared = subject.protocol()
        protocols = {f"{split}/{name}": {**shared, **f.protocol} for name, f in found.items()}
        if not protocols.keys() <= self._protocols.keys():
            self._protocols |= protocols
            self.on_protocols(self._protocols)


def take(measures: Mapping[str, Measure], subject: Subject) -> dict[str, Finding]:
    """All findings of some measures, by name; noise is that of the evaluation's seed."""
    model: GenerativeModule = subject.model
    found: dict[str, Finding] = {}
    run_seed, model.seed = model.seed, subject.options.seed
    try:
        with torch.no_grad(), raw_weights(model, raw=not subject.options.ema):
            for measure in measures.values():
                found |= measure.measure(subject)
    finally:
        model.seed = run_seed
    return found


@contextmanager
def raw_weights(model: GenerativeModule, *, raw: bool) -> Iterator[None]:
    """With `raw`, averaged networks are set aside for the length of the block."""
    owners = [
        (module, name, part)
        for module in model.modules()
        for name, part in module.named_children()
        if raw and isinstance(part, ExponentialMovingAverage)
    ]
    for module, name, _ in owners:
        setattr(module, name, None)
    try:
        yield
    finally:
        for module, name, part in owners:
            setattr(module, name, part)
