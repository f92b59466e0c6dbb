"""Critic and generator steps touch their own side alone; any number of networks per side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganvas.models.adversarial import AdversarialModule, frozen
from ganvas.models.gan.gan import GAN
from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.types import Batch, LossTerms
from models.snapshots import Snapshots
from models.tiny import SHAPE, Batches, batches, equal, fit, gan, images, sgd, weights


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


@pytest.mark.parametrize(("decay", "warmup"), [(0.0, 0), (0.7, 0), (0.7, 2), (0.7, 50)])
def test_samples_come_from_the_average_of_the_generators(decay: float, warmup: int) -> None:
    shots = Snapshots()
    model = gan(ema_decay=decay, ema_warmup=warmup, n_critic=2)
    start = weights(model.generator)
    fit(model, batches(num=6, size=2), callbacks=[shots])
    expected = start
    moves = [s["generator"] for s in shots.states]
    distinct = [m for m, last in zip(moves[1:], moves, strict=False) if not equal(m, last)]
    assert len(distinct) == model.counters["generator_steps"] == 3
    for step, state in enumerate(distinct):
        kept = min(decay, (1 + step) / (warmup + step)) if warmup else decay
        expected = {n: kept * expected[n] + (1 - kept) * state[n] for n in state}
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
    """Images to images, unpaired: two generators and two critics in one model (Zhu et al. 2017).

    A label says which of two kinds an image is. Maker k makes images of kind k from the others.
    """

    def __init__(self, *, shared: bool, n_critic: int = 1) -> None:
        self.shared = shared
        names = ["critics", "makers"] if shared else ["critic_0", "critic_1", "maker_0", "maker_1"]
        optimizer = {name: partial(sgd, lr=0.01 * i) for i, name in enumerate(names, start=1)}
        super().__init__(image_shape=SHAPE, optimizer=optimizer, n_critic=n_critic)
        torch.manual_seed(2)
        critic = partial(DenseEncoder, image_shape=SHAPE, num_outputs=1, hidden=[6])
        maker = partial(DenseDecoder, num_inputs=16, image_shape=SHAPE, hidden=[6])
        self.critics = nn.ModuleList(critic() for _ in range(2))
        self.makers = nn.ModuleList(nn.Sequential(nn.Flatten(), maker()) for _ in range(2))

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        return self._side("critic", self.critics)

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        return self._side("maker", self.makers)

    def _side(self, name: str, networks: nn.ModuleList) -> Mapping[str, Sequence[nn.Module]]:
        if self.shared:
            return {f"{name}s": list(networks)}
        return {f"{name}_{kind}": [network] for kind, network in enumerate(networks)}

    def _made(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        real = [batch.x[batch.y == kind] for kind in range(2)]
        return real, [self.makers[0](real[1]), self.makers[1](real[0])]

    def critic_terms(self, batch: Batch) -> LossTerms:
        with torch.no_grad():
            real, fake = self._made(batch)
        each = [
            (softplus(-critic(real[kind])).mean() + softplus(critic(fake[kind])).mean())
            for kind, critic in enumerate(self.critics)
        ]
        return LossTerms(each[0] + each[1], {"loss_0": each[0], "loss_1": each[1]})

    def generator_terms(self, batch: Batch) -> LossTerms:
        real, fake = self._made(batch)
        each = [softplus(-c(f)).mean() for c, f in zip(self.critics, fake, strict=True)]
        back = [self.makers[0](fake[1]) - real[0], self.makers[1](fake[0]) - real[1]]
        cycle = back[0].abs().mean() + back[1].abs().mean()
        return LossTerms(each[0] + each[1]).plus("cycle", cycle, weight=10.0)


def two_kinds(*, num: int, size: int) -> Batches:
    """Batches with as many images of either kind, darker and lighter ones."""
    loader = batches(num=num, size=size)
    kinds = torch.arange(size) % 2
    loader.batches = [
        Batch(b.x + kinds[:, None, None, None], y=kinds, start=b.start) for b in loader.batches
    ]
    return loader


@pytest.mark.parametrize("shared", [True, False])
def test_two_critics_and_two_generators_need_no_new_loop(shared: bool) -> None:
    """One optimiser for each side, or one for each network."""
    model = TwoGames(shared=shared, n_critic=2)
    start = weights(model)
    trainer = fit(model, two_kinds(num=4, size=4))
    assert all(not torch.equal(start[name], after) for name, after in weights(model).items())
    assert (model.counters["critic_steps"], model.counters["generator_steps"]) == (4, 2)
    names = ["critics", "makers"] if shared else ["critic_0", "critic_1", "maker_0", "maker_1"]
    assert model.optimizer_names == names
    rates = [o.param_groups[0]["lr"] for o in trainer.optimizers]
    assert rates == pytest.approx([0.01, 0.02] if shared else [0.01, 0.02, 0.03, 0.04])
    parts = model.last_parts
    torch.testing.assert_close(parts["critic_loss"], parts["loss_0"] + parts["loss_1"])
    assert {"generator_loss", "cycle", "generator_gradient_norm"} <= set(parts)


@pytest.mark.parametrize("n_critic", [1, 2])
def test_two_games_accumulate(n_critic: int) -> None:
    whole, cut = (TwoGames(shared=False, n_critic=n_critic) for _ in range(2))
    fit(whole, two_kinds(num=2, size=12))
    fit(cut, two_kinds(num=6, size=4), accumulate=3)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=0, atol=1e-6)
    assert cut.counters["generator_steps"] == whole.counters["generator_steps"] == 2 // n_critic


@pytest.mark.parametrize("kind", [0, 1])
def test_a_step_of_two_games_is_their_two_gradients(kind: int) -> None:
    """Of the loss of each critic, and of what all generators minimise together."""
    model, before = (TwoGames(shared=False) for _ in range(2))
    loader = two_kinds(num=1, size=4)
    fit(model, loader)
    own = before.critic_terms(loader.batches[0]).parts[f"loss_{kind}"]
    _stepped(before.critics[kind], model.critics[kind], own, lr=0.01 * (kind + 1))
    before.critics.load_state_dict(model.critics.state_dict())
    total = before.generator_terms(loader.batches[0]).total
    _stepped(before.makers[kind], model.makers[kind], total, lr=0.01 * (kind + 3))


def _stepped(before: nn.Module, after: nn.Module, loss: Tensor, *, lr: float) -> None:
    gradients = torch.autograd.grad(loss, list(before.parameters()))
    expected = [p - lr * g for p, g in zip(before.parameters(), gradients, strict=True)]
    torch.testing.assert_close(list(after.parameters()), expected, rtol=0, atol=1e-6)


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
