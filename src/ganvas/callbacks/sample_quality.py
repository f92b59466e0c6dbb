"""How good samples are, at each validation and in test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganvas.metrics.classes import ClassCounts, class_entropy, classes_hit
from ganvas.metrics.frechet import LEAST, FrechetDistance
from ganvas.nn.ema import ExponentialMovingAverage
from ganvas.nn.frozen import Frozen
from ganvas.protocols import Conditional, Samples, trainable
from ganvas.types import Batch, ImageShape, Split, ValueRange

BATCH = 256
SPLITS: tuple[Split, ...] = ("val", "test")


class Layer(nn.Module):
    """One layer's output of a frozen network, `(B, D)`.

    Args:
        network: the whole network.
        name: of the layer.
    """

    def __init__(self, network: Frozen, name: str) -> None:
        super().__init__()
        self.network, self.name = network.layers([name]), name

    def forward(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to features `(B, D)`."""
        return self.network(x)[self.name].flatten(1)


class SampleQuality(pl.Callback):
    """Compares samples with as many real images of the split, in a classifier's features.

    Logged are, as `val/…` and `test/…`,

    - `fd_classifier`: the Fréchet distance (`FrechetDistance`) in the features of one layer. It is
      no FID: that is of an Inception network;
    - `classes_hit`: classes that at least a share of 1 / (10 K) of the samples is put into;
    - `class_entropy`: entropy of the classes of the samples in nats, log K at most.

    Samples are what `sample` draws: by the averaged generator where there is one, in evaluation
    mode, rounded to 0…255 as the real images are. Their noise depends on `seed` alone. The first
    `num` images of the split are the real ones; all of it, and as many samples, if it has fewer.
    Nothing of the run's random numbers is used, and ranks share the work.

    Args:
        features: the classifier.
        image_shape: (C, H, W).
        layer: whose outputs are the features.
        num: samples, and real images.
        seed: of the samples' noise.

    Raises:
        ValueError: if `num` is under 2 or the layer unknown.
    """

    monitor: ClassVar[str] = "val/fd_classifier"
    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "fd_classifier": False,
        "classes_hit": True,
        "class_entropy": True,
    }

    def __init__(
        self, *, features: Frozen, image_shape: ImageShape, layer: str, num: int, seed: int
    ) -> None:
        if num < LEAST:
            raise ValueError(f"num must be at least {LEAST}, got {num}")
        self.features, self.layer, self.num, self.seed = features, layer, num, seed
        extractor = Layer(features, layer)
        blank = torch.zeros(1, *image_shape)
        width, num_classes = extractor(blank).shape[1], features(blank).shape[1]
        self._distances: dict[str, FrechetDistance] = {
            split: FrechetDistance(features=extractor, num_features=width, keep_real=True)
            for split in SPLITS
        }
        self._classes = ClassCounts(classifier=features, num_classes=num_classes)
        self._found: dict[str, int] = {}
        self._complete: set[str] = set()

    def distance(self, split: Split) -> FrechetDistance:
        """The distance of a split, which keeps its real images."""
        return self._distances[split]

    def protocol(self, model: nn.Module, counts: Mapping[Split, int]) -> dict[str, Any]:
        """What must be equal for two values to be compared; `counts` are of the images."""
        averaged = any(isinstance(part, ExponentialMovingAverage) for part in model.modules())
        return {
            "extractor": type(self.features.network).__name__,
            "layer": self.layer,
            "weights": weights_hash(self.features.network),
            "num": {s: min(self.num, counts[s]) for s in SPLITS if counts[s]},
            "seed": self.seed,
            "quantizer": "uint8, rounded",
            "ema": averaged,
            "batch_norm": "eval",
        }

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go where the model is."""
        for metric in (*self._distances.values(), self._classes):
            metric.to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        *indices: Any,
    ) -> None:
        """Take up the batch's images."""
        self._add_real("val", batch, trainable(pl_module).value_range)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, compare and log."""
        self._publish("val", trainer, pl_module)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As in validation."""
        self.on_validation_start(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        *indices: Any,
    ) -> None:
        """As in validation."""
        self._add_real("test", batch, trainable(pl_module).value_range)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """As in validation."""
        self._publish("test", trainer, pl_module)

    def _add_real(self, split: str, batch: Batch, value_range: ValueRange) -> None:
        """The first `num` images of the split, once in a run: they stay the same."""
        if split in self._complete:
            return
        self._found[split] = min(self.num, batch.start + (batch.total or len(batch)))
        kept = batch.x[: max(0, self.num - batch.start - batch.offset)]
        if len(kept):
            self._distances[split].update(quantized(kept, value_range), real=True)

    def _publish(self, split: str, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._complete.add(split)
        distance = self._distances[split]
        for images in self._samples(trainer, pl_module, num=self._found[split]):
            distance.update(images, real=False)
            self._classes.update(images)
        counts = self._classes.compute()
        values: dict[str, Tensor | float] = {
            "fd_classifier": distance.compute(),
            "classes_hit": float(classes_hit(counts)),
            "class_entropy": class_entropy(counts),
        }
        distance.reset()
        self._classes.reset()
        named = {f"{split}/{name}": value for name, value in values.items()}
        pl_module.log_dict(named, logger=False, sync_dist=False, rank_zero_only=False)

    @torch.no_grad()
    def _samples(
        self, trainer: pl.Trainer, model: pl.LightningModule, *, num: int
    ) -> Iterator[Tensor]:
        """This rank's part of `num` samples, uint8; of a conditional model classes in turn."""
        assert isinstance(model, Samples)
        mine = slice(trainer.global_rank, None, trainer.world_size)
        codes = model.prior_codes(num, seed=self.seed)[mine]
        labels = model.class_labels(num)[mine] if isinstance(model, Conditional) else None
        for start in range(0, max(1, len(codes)), BATCH):
            z = codes[start : start + BATCH]
            given: dict[str, Any] = {} if labels is None else {"y": labels[start : start + BATCH]}
            images = model.sample(len(z), noise=z, **given)
            yield quantized(images, trainable(model).value_range)


def quantized(images: Tensor, value_range: ValueRange) -> Tensor:
    """Images of any value range, rounded to uint8."""
    low, high = value_range
    return ((images.float() - low) * (255 / (high - low))).round().clamp(0, 255).byte()


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of all weights and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
