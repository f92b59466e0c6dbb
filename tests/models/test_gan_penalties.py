"""Penalties and losses inside a GAN: in steps, in evaluation, past a compiler, and warned of."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ganvas.losses.adversarial import (
    AdversarialLoss,
    HingeLoss,
    LeastSquaresLoss,
    MinimaxLoss,
    NonSaturatingLoss,
    RelativisticLoss,
    WassersteinLoss,
)
from ganvas.losses.penalties import R1, R2, Dragan, GradientPenalty, Penalty, WeightClipping
from ganvas.losses.reconstruction import SquaredError
from ganvas.models.adversarial import AdversarialModule
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.gan.checks import warn_of_batch_statistics
from ganvas.models.gan.gan import GAN
from ganvas.models.hybrid.adversarial_ae import AdversarialAutoencoder
from ganvas.models.hybrid.ae_gan import AEGAN
from ganvas.models.hybrid.vae_gan import VAEGAN
from ganvas.nn.dense import DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.nn.minibatch_std import MinibatchStd
from ganvas.types import Batch
from models.hybrids import generator_gradients, network
from models.tiny import SHAPE, batches, equal, fit, gan, images, sgd, weights

LOSSES = {
    "minimax": MinimaxLoss(),
    "non_saturating": NonSaturatingLoss(),
    "least_squares": LeastSquaresLoss(a=0.0, b=1.0, c=1.0),
    "wasserstein": WassersteinLoss(),
    "hinge": HingeLoss(),
    "relativistic": RelativisticLoss(),
}
PENALTIES: dict[str, dict[str, Penalty]] = {
    "none": {},
    "gradient_penalty": {"gradient_penalty": GradientPenalty(weight=10.0, interval=1)},
    "r1": {"r1": R1(weight=2.0, interval=1)},
    "r1 and r2": {"r1": R1(weight=2.0, interval=1), "r2": R2(weight=3.0, interval=1)},
    "dragan": {"dragan": Dragan(weight=10.0, interval=1, scale=0.5)},
    "weight_clipping": {"weight_clipping": WeightClipping(limit=0.1)},
}


class Snapshots(pl.Callback):
    """Weights of both sides, and gradients, before each optimiser's step and after the batch."""

    def __init__(self) -> None:
        self.states: list[dict[str, dict[str, Tensor]]] = []
        self.with_gradient: list[set[str]] = []

    def take(self, model: GAN) -> None:
        sides = {"critic": model.critic, "generator": model.generator}
        self.states.append({name: weights(side) for name, side in sides.items()})
        self.with_gradient.append(
            {name for name, s in sides.items() for p in s.parameters() if p.grad is not None}
        )

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.take(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.take(pl_module)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_step_moves_its_own_side_alone(
    loss: AdversarialLoss, penalty: dict[str, Penalty]
) -> None:
    shots = Snapshots()
    fit(gan(loss=loss, penalty=penalty), batches(num=1, size=4), callbacks=[shots])
    before, between, after = shots.states
    assert equal(before["generator"], between["generator"])
    assert not equal(before["critic"], between["critic"])
    assert equal(between["critic"], after["critic"])
    assert not equal(between["generator"], after["generator"])
    assert shots.with_gradient == [{"critic"}, {"generator"}, set()]


def critic_gradients(model: GAN, batch: Batch) -> list[Tensor]:
    """Gradients of the critic's pass."""
    model.zero_grad()
    model.critic_terms(batch).total.backward()
    return [p.grad.clone() for p in model.critic.parameters()]


BATCH = Batch(images(6))


@pytest.mark.parametrize("name", [n for n in PENALTIES if n not in ("none", "weight_clipping")])
def test_penalties_are_added_with_their_weights_and_named(name: str) -> None:
    bare, penalised = gan(), gan(penalty=PENALTIES[name])
    without, terms = bare.critic_terms(BATCH), penalised.critic_terms(BATCH)
    expected = without.total
    for key, penalty in PENALTIES[name].items():
        assert terms.parts[key] > 0
        expected = expected + penalty.weight * terms.parts[key]
    torch.testing.assert_close(terms.total, expected)
    assert set(terms.parts) - set(without.parts) == set(PENALTIES[name])
    moved = zip(critic_gradients(penalised, BATCH), critic_gradients(bare, BATCH), strict=True)
    assert any(not torch.allclose(one, other) for one, other in moved)


def test_no_penalty_and_clipping_add_nothing() -> None:
    bare = gan().critic_terms(BATCH)
    clipped = gan(penalty={"weight_clipping": WeightClipping(limit=100.0)}).critic_terms(BATCH)
    assert torch.equal(bare.total, clipped.total)
    assert bare.parts.keys() == clipped.parts.keys()
    torch.testing.assert_close(
        bare.total, LOSSES["non_saturating"].critic(*logits_of(gan())).mean()
    )


def logits_of(model: GAN) -> tuple[Tensor, Tensor]:
    fake = model.fakes(BATCH)
    return model.critic(BATCH.x).squeeze(1), model.critic(fake).squeeze(1)


def test_several_penalties_have_draws_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, list[Tensor]] = {"one": [], "two": []}

    class Asks(Penalty):
        def __init__(self, name: str) -> None:
            self.name = name

        def add_to(self, terms: Any, name: str, *, draw: Any, **_: Any) -> Any:
            given[self.name].append(draw(1, 1, 1))
            return terms

    model = gan(penalty={name: Asks(name) for name in given})
    for step in (0, 0, 1):
        model.counters["step"] = step
        model.critic_terms(BATCH)
    draws = [tuple(each[i].flatten().tolist()) for each in given.values() for i in range(3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4
    assert all(0 <= u < 1 for draw in draws for u in draw)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_lazy_penalty_counts_critic_steps(accumulate: int) -> None:
    """Not batches: a window is with the penalty or without it."""
    seen: list[tuple[int, bool]] = []

    class Looks(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            seen.append((pl_module.step, "r1" in pl_module.last_parts))

    model = gan(penalty={"r1": R1(weight=1.0, interval=3)}, n_critic=2)
    fit(model, batches(num=8, size=2), accumulate=accumulate, callbacks=[Looks()])
    critic_steps = [(step - 1) // accumulate for step, _ in seen]
    assert [applied for _, applied in seen] == [step % 3 == 0 for step in critic_steps]


def test_a_lazy_penalty_makes_up_for_its_pauses() -> None:
    """Over an interval of steps at fixed weights the mean gradient is that of every step."""
    eager = gan(penalty={"r1": R1(weight=2.0, interval=1), "r2": R2(weight=1.0, interval=1)})
    lazy = gan(penalty={"r1": R1(weight=2.0, interval=4), "r2": R2(weight=1.0, interval=2)})
    sums = [torch.zeros_like(p) for p in lazy.critic.parameters()]
    for step in range(4):
        lazy.counters["critic_steps"] = step
        gradients = critic_gradients(lazy, BATCH)
        sums = [total + each / 4 for total, each in zip(sums, gradients, strict=True)]
    torch.testing.assert_close(sums, critic_gradients(eager, BATCH))


def test_evaluation_is_the_same_at_every_step_and_with_every_interval() -> None:
    eager = gan(penalty={"r1": R1(weight=2.0, interval=1)}).eval()
    lazy = gan(penalty={"r1": R1(weight=2.0, interval=4)}).eval()
    expected = eager.evaluation_parts(BATCH)
    for step in range(4):
        lazy.counters["critic_steps"] = step
        parts = lazy.evaluation_parts(BATCH)
        assert parts.keys() == expected.keys()
        assert all(torch.equal(parts[name], expected[name]) for name in expected)


class Largest(pl.Callback):
    """The critic's largest weight after each batch."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        self.seen.append(max(p.abs().max().item() for p in pl_module.critic.parameters()))


def test_weights_are_clipped_from_the_start_and_after_each_step() -> None:
    clipping = {**PENALTIES["r1"], "weight_clipping": WeightClipping(limit=0.05)}
    free, held = (gan(critic=partial(sgd, lr=1.0), penalty=p) for p in ({}, clipping))
    limit = torch.tensor(0.05).item()
    assert max(p.abs().max().item() for p in held.critic.parameters()) == limit
    for name, weight in held.generator.named_parameters():
        assert torch.equal(weight, dict(free.generator.named_parameters())[name])
    seen, unclipped = Largest(), Largest()
    fit(held, batches(num=4, size=2), callbacks=[seen])
    fit(free, batches(num=4, size=2), callbacks=[unclipped])
    assert seen.seen == [limit] * 4
    assert min(unclipped.seen) > 0.1
    assert max(p.abs().max().item() for p in held.generator.parameters()) > 0.05


# Dynamo asks every tensor for its gradient.
compiles = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")


def compiled(model: GAN) -> GAN:
    """With a critic whose backward pass can't be differentiated."""
    torch._dynamo.reset()
    model.critic.compile(backend="aot_eager")
    return model


@compiles
def test_double_backward_goes_past_the_compiler() -> None:
    penalty = {"r1": R1(weight=2.0, interval=1)}
    eager, fast = gan(penalty=penalty), compiled(gan(penalty=penalty))
    torch.testing.assert_close(
        critic_gradients(fast, BATCH), critic_gradients(eager, BATCH), rtol=1e-5, atol=1e-6
    )
    fit(eager, batches(num=1, size=6))
    fit(fast, batches(num=1, size=6))
    torch.testing.assert_close(weights(fast), weights(eager), rtol=1e-5, atol=1e-6)
    value = PENALTIES["r1"]["r1"](  # the same, through the compiled critic
        lambda x: fast.critic(x)[:, 0], BATCH.x, BATCH.x, draw=torch.rand
    )
    with pytest.raises(RuntimeError, match="does not currently support double backward"):
        value.mean().backward()


@compiles
def test_the_losses_do_go_through_the_compiled_critic() -> None:
    ran: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        def forward(*arguments: Any) -> Any:
            ran.append(1)
            return graph.forward(*arguments)

        return forward

    torch._dynamo.reset()
    model = gan(penalty={"r1": R1(weight=2.0, interval=1)})
    model.critic.compile(backend=backend)
    model.critic_terms(BATCH)
    assert len(ran) == 2  # real and fake; the penalty passes by
    model.generator_terms(BATCH)
    assert len(ran) == 3


def batch_norm_critic() -> nn.Module:
    return DenseEncoder(image_shape=SHAPE, num_outputs=1, hidden=[4], activation=nn.Tanh)


BATCH_NORM = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))
SPREAD = nn.Sequential(nn.Conv2d(1, 2, 3), MinibatchStd(2), nn.Flatten(), nn.Linear(12, 1))


@pytest.mark.parametrize("name", [n for n in PENALTIES if n not in ("none", "weight_clipping")])
@pytest.mark.parametrize(
    ("critic", "why"),
    [
        (BATCH_NORM, "BatchNorm2d makes .* whole batch .*; set network.critic.norm=null"),
        (SPREAD, "MinibatchStd makes .* whole batch .*; set network.critic.minibatch_std=0"),
    ],
    ids=["batch norm", "minibatch std"],
)
def test_a_penalty_on_each_image_warns_of_a_critic_that_mixes_them(
    critic: nn.Module, why: str, name: str
) -> None:
    first = next(iter(PENALTIES[name]))
    with pytest.warns(UserWarning, match=rf"^penalty={first} constrains .* critic's {why}"):
        warn_of_batch_statistics(critic, PENALTIES[name])


def test_nothing_is_warned_of_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for critic in (BATCH_NORM, SPREAD):
            for name in ("none", "weight_clipping"):
                warn_of_batch_statistics(critic, PENALTIES[name])
        for penalty in PENALTIES.values():
            warn_of_batch_statistics(batch_norm_critic(), penalty)
            gan(penalty=penalty)


def vae_gan(loss: AdversarialLoss) -> VAEGAN:
    return VAEGAN(
        image_shape=SHAPE, latent_dim=3, network=network(), likelihood=BernoulliLikelihood(),
        gamma=1.0, num_features=8, loss=loss, n_critic=1,
        optimizer={"generator": sgd, "critic": sgd},
    )  # fmt: skip


def adversarial_ae(loss: AdversarialLoss) -> AdversarialAutoencoder:
    return AdversarialAutoencoder(
        image_shape=SHAPE, latent_dim=3, network=network(), loss=SquaredError(),
        adversarial=loss, adversarial_weight=0.7, n_critic=1,
        optimizer={"generator": sgd, "critic": sgd},
    )  # fmt: skip


def ae_gan(loss: AdversarialLoss) -> AEGAN:
    return AEGAN(
        image_shape=SHAPE, autoencoder=partial(Autoencoder, latent_dim=3), network=network(),
        loss=SquaredError(), adversarial=loss, adversarial_weight=0.7, n_critic=1,
        optimizer={"generator": sgd, "critic": sgd},
    )  # fmt: skip


class Spied(RelativisticLoss):
    """Remembers the logits that the generator's loss is given."""

    def __init__(self) -> None:
        self.real: list[Tensor | None] = []
        self.fake: list[Tensor] = []

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        self.real.append(real_logits)
        self.fake.append(fake_logits)
        return super().generator(real_logits, fake_logits)


@pytest.mark.parametrize("make", [vae_gan, adversarial_ae, ae_gan])
def test_hybrids_show_real_logits_to_the_relativistic_loss(make: Any) -> None:
    torch.manual_seed(0)
    loss = Spied()
    model: AdversarialModule = make(loss)
    terms = model.generator_terms(BATCH)
    real = model.critic(real_inputs(model)).flatten()
    assert len(loss.real) == (2 if make is vae_gan else 1)
    for shown in loss.real:
        assert shown is not None
        torch.testing.assert_close(shown, real)
    expected = torch.stack(
        [-torch.log(torch.sigmoid(fake - real)).mean() for fake in loss.fake]
    ).mean()
    torch.testing.assert_close(terms.parts["adversarial"], expected)
    made = generator_gradients(model, BATCH, ["encoder", "decoder"])
    assert all(g is not None for name in made for g in made[name])
    before = weights(model)
    fit(model, batches(num=2, size=4))
    moved = [name for name, p in weights(model).items() if not torch.equal(p, before[name])]
    assert len(moved) >= len(before) - 1  # a bias of all logits has no gradient
    assert torch.isfinite(model.last_parts["generator_loss"])


def real_inputs(model: AdversarialModule) -> Tensor:
    """What the critic is to take for real: codes of the prior, or images."""
    if isinstance(model, AdversarialAutoencoder):
        return model.noise(BATCH, 3)
    return BATCH.x
