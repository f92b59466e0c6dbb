"""What each step of a game changes."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from ganvas.models.gan.gan import GAN
from models.tiny import weights


class Snapshots(pl.Callback):
    """Weights and gradients before each optimiser step and after the batch."""

    def __init__(self) -> None:
        self.states: list[dict[str, dict[str, Tensor]]] = []
        self.grads: list[dict[str, dict[str, Tensor | None]]] = []

    def take(self, model: GAN) -> None:
        sides = {"critic": model.critic, "generator": model.generator}
        self.states.append({name: weights(side) for name, side in sides.items()})
        self.grads.append(
            {
                name: {
                    n: None if p.grad is None else p.grad.clone() for n, p in s.named_parameters()
                }
                for name, s in sides.items()
            }
        )

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.take(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.take(pl_module)
