"""Both sides' steps with the tricks of training on: passes, optimisers, schedules, all at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from ganvas.callbacks.steps import GradientClipping, LearningRate
from ganvas.models.gan.gan import GAN
from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator
from ganvas.schedules import CosineSchedule
from ganvas.types import Batch
from models.snapshots import Snapshots
from models.tiny import TRICKS, batches, equal, fit, gan, sgd, weights

# Real and fake images together


def dcgan(*, together: bool, norm: Any) -> GAN:
    torch.manual_seed(1)
    network = {
        "generator": partial(DCGANGenerator, width=4, norm=norm),
        "critic": partial(DCGANCritic, width=4, norm=norm),
    }
    return GAN(
        image_shape=(1, 8, 8),
        latent_dim=3,
        network=network,
        loss=gan().loss,
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
        penalty={},
        ema_decay=None,
        together=together,
    ).train()


@pytest.mark.parametrize("side", ["critic", "generator"])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_together_differs_from_apart_where_images_of_a_batch_are_mixed(
    side: str, norm: Any
) -> None:
    """Both sides' steps; a critic without batch norm does not know the difference."""
    gradients = []
    for together in (False, True):
        model = dcgan(together=together, norm=norm)
        one = Batch(torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        terms = getattr(model, f"{side}_terms")(one)
        network = getattr(model, side)
        gradients.append([terms.total, *torch.autograd.grad(terms.total, network.parameters())])
    if norm is None:
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
    else:
        apart = [(a - b).abs().max() / a.abs().max() for a, b in zip(*gradients, strict=True)]
        assert min(apart) > 1e-4


# Optimisers, schedules, clipping


class Rates(pl.Callback):
    """(step, side, learning rate) of each optimiser step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, float]] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        side = [o is optimizer for o in trainer.optimizers].index(True)
        self.steps.append((pl_module.step, side, optimizer.param_groups[0]["lr"]))


def test_learning_rates_decay_by_the_batch_whatever_n_critic_is() -> None:
    schedule = CosineSchedule(start=1.0, end=0.1, steps=7)
    rates = Rates()
    model = gan(n_critic=2, critic=partial(sgd, lr=0.4), generator=partial(sgd, lr=0.003))
    fit(model, batches(num=4, size=2), max_steps=8, callbacks=[LearningRate(schedule), rates])
    expected = []
    for step in range(8):
        expected.append((step, 0, 0.4 * schedule(step)))
        if step % 2:
            expected.append((step, 1, 0.003 * schedule(step)))
    assert rates.steps == expected
    assert len({lr for _, _, lr in rates.steps}) == 12


def test_each_side_has_any_optimiser() -> None:
    rmsprop, adamw = partial(torch.optim.RMSprop, lr=1e-3), partial(torch.optim.AdamW, lr=1e-2)
    model = gan(critic=rmsprop, generator=adamw)
    before = weights(model)
    trainer = fit(model, batches(num=2, size=2))
    assert [type(o) for o in trainer.optimizers] == [torch.optim.RMSprop, torch.optim.AdamW]
    assert all(not torch.equal(before[name], after) for name, after in weights(model).items())


def test_norms_are_logged_as_they_were_before_clipping() -> None:
    class Parts(pl.Callback):
        def __init__(self) -> None:
            self.norms: list[dict[str, float]] = []

        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            parts = pl_module.last_parts
            self.norms.append({k: v.item() for k, v in parts.items() if k.endswith("norm")})

    shots, parts = Snapshots(), Parts()
    fit(gan(), batches(num=3, size=2), callbacks=[shots, GradientClipping(max_norm=1e-3), parts])
    for i, logged in enumerate(parts.norms):
        for side, shot in (("critic", 3 * i), ("generator", 3 * i + 1)):
            squares = [g.square().sum() for g in shots.grads[shot][side].values()]
            assert logged[f"{side}_gradient_norm"] == pytest.approx(sum(squares).sqrt().item())
            assert logged[f"{side}_gradient_norm"] > 2e-3


# All at once


def test_with_all_tricks_at_once_a_step_of_one_side_leaves_the_other_as_it_was() -> None:
    shots = Snapshots()
    model = gan(n_critic=2, **TRICKS)
    fit(model, batches(num=4, size=3), callbacks=[shots])
    before = [
        ["critic"],
        [],
        ["critic"],
        ["generator"],
        [],
    ] * 2  # of each snapshot: what is to step
    assert len(shots.states) == len(before)
    for side, grads in zip(before, shots.grads, strict=True):
        with_any = [n for n in grads if any(g is not None for g in grads[n].values())]
        assert with_any == side
    for side, now, later in zip(before, shots.states, shots.states[1:], strict=False):
        assert [name for name in now if not equal(now[name], later[name])] == side
    assert all(p.requires_grad for p in [*model.critic.parameters(), *model.generator.parameters()])


def test_training_with_all_tricks_does_not_depend_on_the_global_generator() -> None:
    ends = []
    for seed in (1, 2):
        model = gan(n_critic=2, **TRICKS)
        torch.manual_seed(seed)
        fit(model, batches(num=6, size=3))
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
    assert equal(*ends)
    assert "history.images" in ends[0]
