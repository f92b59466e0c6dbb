"""Small models and trainings for tests of single steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganvas.callbacks.steps import Budget
from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.engine.trainer import quiet_lightning
from ganvas.losses.adversarial import NonSaturatingLoss
from ganvas.losses.elbo import ElboLoss
from ganvas.losses.penalties import R1
from ganvas.models.base import GenerativeModule
from ganvas.models.gan.gan import GAN
from ganvas.models.vae.vae import VAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.schedules import LinearSchedule
from ganvas.types import Batch

SHAPE = (1, 4, 4)
sgd = partial(torch.optim.SGD, lr=0.05)
DECAY = LinearSchedule(start=0.5, end=0.0, steps=10)
TRICKS: dict[str, Any] = {
    "label_smoothing": 0.1,
    "label_noise": 0.2,
    "label_flips": 0.3,
    "instance_noise": DECAY,
    "augment": ["color", "translation", "cutout"],
    "replay": 6,
    "prior": "uniform",
    "together": True,
    "ema_decay": 0.9,
    "ema_warmup": 10,
    "penalty": {"r1": R1(weight=1.0, interval=2)},
}
"""All that can be done to a GAN in training, at once."""


class Batches:
    """The same batches in every epoch; counts those it gave."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = list(batches)
        self.given = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.given += 1
            yield batch


def images(num: int) -> Tensor:
    """Random images in [0, 1] with some structure."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num, *SHAPE, generator=generator).square()


def batches(*, num: int, size: int) -> Batches:
    """`num` batches of `size` different images, each knowing the position of its first one."""
    x = images(num * size)
    return Batches([Batch(x[i : i + size], start=i) for i in range(0, num * size, size)])


def vae(*, beta: Any = 1.0, optimizer: Callable[..., Any] = sgd, latent_dim: int = 3) -> VAE:
    """A dense VAE, the same weights each time."""
    torch.manual_seed(1)
    network = {
        "encoder": partial(DenseEncoder, hidden=[8]),
        "decoder": partial(DenseDecoder, hidden=[8]),
    }
    return VAE(
        image_shape=SHAPE,
        latent_dim=latent_dim,
        network=network,
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=beta, reconstruction_weight=1.0),
        optimizer=optimizer,
    )


def gan(
    *,
    n_critic: int = 1,
    ema_decay: float | None = None,
    generator: Callable[..., Any] = sgd,
    critic: Callable[..., Any] = sgd,
    **tricks: Any,
) -> GAN:
    """A dense GAN without batch norm, the same weights each time.

    `tricks` are further arguments of `GAN`; among them `loss` and `penalty`.
    """
    torch.manual_seed(1)
    network = {
        "generator": partial(DenseDecoder, hidden=[8], output=nn.Tanh),
        "critic": partial(DenseEncoder, hidden=[8], activation=nn.Tanh),
    }
    return GAN(
        image_shape=SHAPE,
        latent_dim=3,
        network=network,
        loss=tricks.pop("loss", NonSaturatingLoss()),
        penalty=tricks.pop("penalty", {}),
        optimizer={"generator": generator, "critic": critic},
        n_critic=n_critic,
        ema_decay=ema_decay,
        **tricks,
    )


def fit(
    model: GenerativeModule,
    loader: Batches,
    *,
    max_steps: int | None = None,
    epochs: int = 1,
    accumulate: int = 1,
    callbacks: Sequence[pl.Callback] = (),
    val: Batches | None = None,
    val_every: int | None = None,
) -> pl.Trainer:
    """Train on the CPU as the engine does, without a record."""
    quiet_lightning()
    model.accumulate = accumulate
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs if max_steps is None else -1,
        max_steps=-1,
        accumulate_grad_batches=accumulate if model.automatic_optimization else 1,
        limit_val_batches=None if val else 0,
        check_val_every_n_epoch=None if val_every else 1,
        val_check_interval=val_every,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=[*callbacks, *([Budget(max_steps=max_steps)] if max_steps else [])],
    )
    trainer.fit(model, train_dataloaders=loader, val_dataloaders=val)
    return trainer


def weights(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters."""
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bitwise equality of every tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
