"""Base for models with one objective: Lightning backpropagates and steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.models.base import GenerativeModule
from ganvas.types import Batch, ImageShape, LossTerms

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class AutomaticModule(GenerativeModule):
    """Abstract: one objective, one optimiser; autoencoders and VAEs stand here.

    Args:
        image_shape: (C, H, W).
        optimizer: factory of the optimiser over all trainable parameters.
    """

    def __init__(self, *, image_shape: ImageShape, optimizer: OptimizerFactory) -> None:
        super().__init__(image_shape=image_shape)
        self.optimizer_factory = optimizer

    @abstractmethod
    def loss_terms(self, batch: Batch) -> LossTerms:
        """The objective and its parts for one batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The objective; Lightning does the rest."""
        del batch_idx
        terms = self.loss_terms(batch)
        self.advance(batch, {"loss": terms.total, **terms.parts})
        return terms.total

    def evaluation_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """The objective as `loss` and its parts."""
        terms = self.loss_terms(batch)
        return {"loss": terms.total, **terms.parts}

    def training_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """As in evaluation."""
        return self.evaluation_parts(batch)

    @property
    def optimizer_names(self) -> list[str]:
        """A single optimiser needs no name."""
        return [""]

    def configure_optimizers(self) -> Any:
        """One optimiser over every parameter that is trained."""
        return self.optimizer_factory([p for p in self.parameters() if p.requires_grad])
