"""Both sides' steps with the tricks of training on: passes, optimisers, schedules, all at once."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from ganvas.callbacks.steps import GradientClipping, LearningRate
from ganvas.losses.adversarial import (
    AdversarialLoss,
    LeastSquaresLoss,
    NonSaturatingLoss,
    RelativisticLoss,
    WassersteinLoss,
)
from ganvas.models.gan.gan import GAN
from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator
from ganvas.schedules import CosineSchedule
from ganvas.types import Batch
from models.snapshots import Snapshots
from models.tiny import TRICKS, batches, equal, fit, gan, sgd, weights

# Real and fake images together


def dcgan(*, norm: Any, **changed: Any) -> GAN:
    torch.manual_seed(1)
    critic = partial(DCGANCritic, width=4, norm=norm, **changed.pop("critic", {}))
    given: dict[str, Any] = {"n_critic": 1, "penalty": {}, "ema_decay": None, **changed}
    return GAN(
        image_shape=(1, 8, 8),
        latent_dim=3,
        network={"generator": partial(DCGANGenerator, width=4, norm=norm), "critic": critic},
        loss=gan().loss,
        optimizer={"generator": sgd, "critic": sgd},
        **given,
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


def test_minibatch_deviation_mixes_the_kinds_that_are_passed_together() -> None:
    """Where its groups do not divide the batch: here images 3 to 5 of 6 real and 6 fake ones."""
    one = Batch(torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    for group, mixed in ((3, False), (4, True)):
        models = [
            dcgan(norm=None, together=t, critic={"minibatch_std": group}) for t in (True, False)
        ]
        totals = [model.critic_terms(one).total for model in models]
        assert torch.allclose(*totals, rtol=1e-6) is not mixed


# Evaluation


@pytest.mark.filterwarnings("ignore:penalty=r1 constrains")
def test_evaluation_is_repeatable_and_leaves_no_trace() -> None:
    """Batch norm, power iteration, dropout, replayed fakes and a penalty's extra pass."""
    critic = {"dropout": 0.5, "spectral_norm": True}
    model = dcgan(
        norm=nn.BatchNorm2d, critic=critic, ema_decay=0.5, replay=4, penalty=TRICKS["penalty"]
    )
    one = Batch(torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.eval()
    parts = [dict(model.evaluation_parts(one)) for _ in range(2)]
    torch.testing.assert_close(*parts, rtol=0, atol=0)
    assert equal(model.state_dict(), before)
    assert all(p.grad is None and p.requires_grad for p in model.critic.parameters())
    model.train().critic_terms(one)  # all of them would have left one
    changed = {
        k.rsplit(".", 1)[-1]
        for k, v in model.state_dict().items()
        if not equal({"": v}, {"": before[k]})
    }
    assert {"running_mean", "_u", "images", "count"} <= changed


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("loss", "boundary"), [
    (NonSaturatingLoss(), 0.0),
    (LeastSquaresLoss(a=0.0, b=1.0, c=1.0), 0.5),
    (WassersteinLoss(), None),
    (RelativisticLoss(), None),
])  # fmt: skip
def test_accuracies_are_shares_beyond_the_boundary_of_the_loss(
    loss: AdversarialLoss, boundary: float | None, together: bool
) -> None:
    """Of logits around ½, so that 0 is no boundary but of the losses that have it."""
    model, one = gan(loss=loss, together=together), batches(num=1, size=8).batches[0]
    with torch.no_grad():
        middle = torch.stack([model.critic(x).mean() for x in (one.x, model.fakes(one))]).mean()
        model.critic.layers[-1].bias.add_(0.5 - middle)
        real, fake = model.critic(one.x), model.critic(model.fakes(one))
    cut = (real.mean() + fake.mean()) / 2 if boundary is None else boundary
    parts = model.critic_terms(one).parts
    assert parts["real_accuracy"] == (real > cut).float().mean()
    assert parts["fake_accuracy"] == (fake < cut).float().mean()
    if boundary != 0:
        assert (real > cut).float().mean() != (real > 0).float().mean()


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


def test_norms_are_logged_without_the_scale_of_half_precision() -> None:
    class Scaled(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
            trainer.precision_plugin.scaler = SimpleNamespace(get_scale=lambda: 4.0)  # type: ignore[attr-defined]

    plain, scaled = gan(), gan()
    fit(plain, batches(num=1, size=4))
    fit(scaled, batches(num=1, size=4), callbacks=[Scaled()])
    for name in ("critic_gradient_norm", "generator_gradient_norm"):
        torch.testing.assert_close(4 * scaled.last_parts[name], plain.last_parts[name])


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
