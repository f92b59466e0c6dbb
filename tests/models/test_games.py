"""Critic and generator steps touch their own side alone; any number of networks per side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganvas.models.adversarial import AdversarialModule, frozen
from ganvas.models.gan.gan import GAN
from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.types import Batch, LossTerms
from models.tiny import SHAPE, batches, equal, fit, gan, images, sgd, weights


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


def dcgan() -> GAN:
    """Small, with batch norm."""
    torch.manual_seed(1)
    model = GAN(
        image_shape=(1, 8, 8),
        latent_dim=3,
        network={
            "generator": partial(DCGANGenerator, width=4),
            "critic": partial(DCGANCritic, width=4),
        },
        loss=gan().loss,
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
        penalty={},
        ema_decay=0.5,
    )
    model.image_shape = (1, 8, 8)
    return model


def test_a_step_of_one_side_leaves_the_other_as_it_was() -> None:
    shots = Snapshots()
    fit(gan(), batches(num=1, size=4), callbacks=[shots])
    before, between, after = shots.states
    assert equal(before["generator"], between["generator"])
    assert not equal(before["critic"], between["critic"])
    assert equal(between["critic"], after["critic"])
    assert not equal(between["generator"], after["generator"])
    critic, generator, rest = shots.grads
    assert all(g is None for g in critic["generator"].values())
    assert all(g is None for g in generator["critic"].values())
    assert all(g is not None for g in critic["critic"].values())
    assert all(g is not None for g in generator["generator"].values())
    assert all(g is None for side in rest.values() for g in side.values())


def test_two_learning_rates_arrive_at_the_two_optimisers() -> None:
    shots = Snapshots()
    model = gan(critic=partial(sgd, lr=0.4), generator=partial(sgd, lr=0.003))
    fit(model, batches(num=1, size=4), callbacks=[shots])
    for i, (side, lr) in enumerate((("critic", 0.4), ("generator", 0.003))):
        grads = shots.grads[i][side]
        expected = {n: w - lr * grads[n] for n, w in shots.states[i][side].items()}
        torch.testing.assert_close(shots.states[i + 1][side], expected, rtol=0, atol=1e-7)
        assert not equal(shots.states[i + 1][side], shots.states[i][side])


def test_the_gradients_are_those_of_the_two_losses() -> None:
    """Against the whole game written out with autograd."""
    shots = Snapshots()
    model, reference, loader = gan(), gan(), batches(num=1, size=4)
    fit(model, loader, callbacks=[shots])
    batch = loader.batches[0]
    z = reference.noise(batch, 3)
    fake = reference.generator(z)
    critic_loss = softplus(-reference.critic(batch.x)) + softplus(reference.critic(fake.detach()))
    expected = torch.autograd.grad(critic_loss.mean(), list(reference.critic.parameters()))
    got = shots.grads[0]["critic"].values()
    torch.testing.assert_close(list(got), list(expected))
    reference.critic.load_state_dict(shots.states[1]["critic"])  # as it has just become
    generator_loss = softplus(-reference.critic(fake)).mean()
    expected = torch.autograd.grad(generator_loss, list(reference.generator.parameters()))
    got = shots.grads[1]["generator"].values()
    torch.testing.assert_close(list(got), list(expected))


def test_n_critic_batches_pass_before_the_generator_moves() -> None:
    shots = Snapshots()
    fit(gan(n_critic=3), batches(num=3, size=2), callbacks=[shots])
    generators = [state["generator"] for state in shots.states]
    assert len(generators) == 3 + 1 + 3
    assert all(equal(generators[0], g) for g in generators[:-1])
    assert not equal(generators[0], generators[-1])


def test_frozen_modules_pass_gradients_on_and_thaw_even_after_an_error() -> None:
    layer, kept = nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)
    x = torch.randn(3, 2, requires_grad=True)
    with frozen([layer, kept]):
        layer(x).sum().backward()
        assert layer.weight.grad is None
    torch.testing.assert_close(x.grad, layer.weight.detach().expand(3, 2))

    with pytest.raises(KeyError), frozen([layer, kept]):
        raise KeyError
    assert layer.weight.requires_grad
    assert not kept.weight.requires_grad


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_samples_come_from_the_average_of_the_generators(decay: float) -> None:
    shots = Snapshots()
    model = gan(ema_decay=decay, n_critic=2)
    start = weights(model.generator)
    fit(model, batches(num=6, size=2), callbacks=[shots])
    expected = start
    moves = [s["generator"] for s in shots.states]
    distinct = [m for m, last in zip(moves[1:], moves, strict=False) if not equal(m, last)]
    assert len(distinct) == model.counters["generator_steps"] == 3
    for state in distinct:
        expected = {n: decay * expected[n] + (1 - decay) * state[n] for n in state}
    torch.testing.assert_close(weights(model.average.network), expected)
    z = torch.randn(4, 3)
    assert torch.equal(model.sample(4, noise=z), model.average.network(z))
    assert torch.equal(model.sample(4, noise=z), model.generator(z)) == (decay == 0.0)


def test_the_average_has_the_generators_batch_norm_statistics() -> None:
    model = dcgan()
    loader = batches(num=3, size=4)
    loader.batches = [Batch(b.x.repeat(1, 1, 2, 2), start=b.start) for b in loader.batches]  # 8 × 8
    fit(model, loader)
    mine, theirs = (
        dict(model.average.network.named_buffers()),
        dict(model.generator.named_buffers()),
    )
    assert len(mine) == 6
    assert equal(mine, theirs)
    assert mine["layers.2.num_batches_tracked"] > 0
    model.train()
    assert not model.average.network.training
    before = model.sample(2, seed=1)
    assert torch.equal(model.sample(2, seed=1), before)
    assert any(k.startswith("average.network.") for k in model.state_dict())


class TwoGames(AdversarialModule):
    """Two pairs in one model; the second generator shares an optimiser with the first."""

    def __init__(self, *, together: bool) -> None:
        optimizer = {"first": sgd, "second": partial(sgd, lr=0.01), "generators": sgd}
        if not together:
            optimizer |= {"other": partial(sgd, lr=0.02)}
        super().__init__(image_shape=SHAPE, optimizer=optimizer, n_critic=2)
        torch.manual_seed(2)
        self.together = together
        self.critics = nn.ModuleList(
            DenseEncoder(image_shape=SHAPE, num_outputs=1, hidden=[6]) for _ in range(2)
        )
        self.makers = nn.ModuleList(
            DenseDecoder(num_inputs=2, image_shape=SHAPE, hidden=[6]) for _ in range(2)
        )

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"first": [self.critics[0]], "second": [self.critics[1]]}

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        if self.together:
            return {"generators": list(self.makers)}
        return {"generators": [self.makers[0]], "other": [self.makers[1]]}

    def _fakes(self, batch: Batch) -> list[Tensor]:
        noise = self.noise(batch, 2)
        return [maker(noise) for maker in self.makers]

    def critic_terms(self, batch: Batch) -> LossTerms:
        with torch.no_grad():
            fakes = self._fakes(batch)
        each = [
            (softplus(-critic(batch.x)) + softplus(critic(fake))).mean()
            for critic, fake in zip(self.critics, fakes, strict=True)
        ]
        return LossTerms(each[0] + each[1], {"first_loss": each[0], "second_loss": each[1]})

    def generator_terms(self, batch: Batch) -> LossTerms:
        fakes = self._fakes(batch)
        each = [softplus(-c(f)).mean() for c, f in zip(self.critics, fakes, strict=True)]
        return LossTerms(each[0] + each[1])


@pytest.mark.parametrize("together", [True, False])
def test_two_critics_and_two_generators_need_no_new_loop(together: bool) -> None:
    model = TwoGames(together=together)
    start = weights(model)
    trainer = fit(model, batches(num=4, size=2))
    end = weights(model)
    assert all(not torch.equal(start[name], end[name]) for name in start)
    assert (model.counters["critic_steps"], model.counters["generator_steps"]) == (4, 2)
    names = ["first", "second", "generators"] + ([] if together else ["other"])
    assert model.optimizer_names == names
    rates = [o.param_groups[0]["lr"] for o in trainer.optimizers]
    assert rates == [0.05, 0.01, 0.05] + ([] if together else [0.02])
    parts = model.last_parts
    torch.testing.assert_close(parts["critic_loss"], parts["first_loss"] + parts["second_loss"])
    assert "generator_loss" in parts


def test_networks_are_the_trained_ones() -> None:
    model = gan(ema_decay=0.9)
    assert set(model.networks()) == {"generator", "critic"}
    assert set(model.evaluation_parts(Batch(images(3)))) == {
        "critic_loss",
        "generator_loss",
        "real_logit",
        "fake_logit",
        "real_accuracy",
        "fake_accuracy",
    }
