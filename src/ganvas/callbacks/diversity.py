"""How different a model's samples are from each other, beside real images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import nn

from ganvas.nn.frozen import Frozen
from ganvas.protocols import Adversarial, Samples, trainable

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.types import Batch, ValueRange


class Diversity(pl.Callback):
    """Publishes `val/diversity` and `test/diversity` of adversarial models that draw samples.

    diversity = mean over pairs of ‖f(x̂ᵢ) − f(x̂ⱼ)‖² / mean over pairs of ‖f(xᵢ) − f(xⱼ)‖²

    of samples x̂ and as many real images x, spread evenly over the split. 1 is as diverse as the
    data, 0 is all alike. It tells a collapse, not quality. Not finite where real images are alike.

    Samples have the same noise each time. Rank 0 measures and tells the others. Nothing of the
    run's random numbers is used and no state of the model changes: it is in evaluation mode.

    Args:
        num: samples, and about as many real images.
        features: a module from images `(B, C, H, W)` in [0, 1] to `(B, …)`; frozen.
    """

    higher_is_better: ClassVar[Mapping[str, bool]] = {"diversity": True}

    def __init__(self, *, num: int, features: nn.Module) -> None:
        if num < 2:  # noqa: PLR2004  (a pair)
            raise ValueError(f"num must be at least 2, got {num}")
        if not isinstance(features, nn.Module):
            raise ValueError(f"features must name a network by _target_, got {features!r}")
        self.num = num
        self.features = Frozen(features)
        self._kept: list[Tensor] = []
        self._real: dict[str, tuple[int, Tensor]] = {}

    @staticmethod
    def measures(model: type) -> bool:
        """Whether models of this class are measured."""
        return issubclass(model, Adversarial) and issubclass(model, Samples)

    def on_validation_batch_end(  # noqa: PLR0917  (Lightning's)
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep some images of the first validation."""
        self._keep("val", trainer, pl_module, batch, trainer.num_val_batches[0])

    def on_test_batch_end(  # noqa: PLR0917  (Lightning's)
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep some images of the first test."""
        self._keep("test", trainer, pl_module, batch, trainer.num_test_batches[0])

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Publish `val/diversity`."""
        self._publish("val", trainer, pl_module)

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Publish `test/diversity`."""
        self._publish("test", trainer, pl_module)

    def _keep(
        self, split: str, trainer: pl.Trainer, model: object, batch: Batch, batches: float
    ) -> None:
        measured = split in self._real or not trainer.is_global_zero
        if measured or not self.measures(type(model)) or len(batch) == 0:
            return
        share = min(len(batch), -(-self.num // max(1, int(batches))))
        places = torch.linspace(0, len(batch) - 1, share, device=batch.x.device)
        self._kept.append(batch.x[places.long()])

    def _publish(self, split: str, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.measures(type(pl_module)):
            return
        value = self._measured(split, pl_module) if trainer.is_global_zero else None
        if trainer.world_size > 1:
            value = trainer.strategy.broadcast(value)
        if value is not None:
            pl_module.log(f"{split}/diversity", value, logger=False, rank_zero_only=False)

    @torch.no_grad()
    def _measured(self, split: str, model: Any) -> float | None:
        """The ratio; None for a split of fewer than two images."""
        module = trainable(model)
        kept, self._kept = self._kept, []
        if split not in self._real:
            real = torch.cat(kept)[: self.num] if kept else torch.empty(0)
            if len(real) < 2:  # noqa: PLR2004
                return None
            self._real[split] = len(real), self._spread(real, module.value_range)
        num, real_spread = self._real[split]
        fake = model.sample(num, seed=module.seed)
        return (self._spread(fake, module.value_range) / real_spread).item()

    def _spread(self, images: Tensor, value_range: ValueRange) -> Tensor:
        low, high = value_range
        features: Tensor = self.features.to(images.device)((images - low) / (high - low))
        return mean_squared_distance(features.flatten(1))


def mean_squared_distance(points: Tensor) -> Tensor:
    """Mean over pairs i ≠ j of ‖xᵢ − xⱼ‖², for points `(N, D)`: twice their total variance."""
    return 2 * points.double().var(dim=0).sum()
