"""GANs that are asked for a class: labels reach both sides, the penalties, samples and grids."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from callbacks.recorders import Kept
from ganvas import pictures
from ganvas.callbacks.images import ImageGrids
from ganvas.losses.adversarial import HingeLoss, NonSaturatingLoss, RelativisticLoss
from ganvas.losses.penalties import R1, GradientPenalty
from ganvas.models.gan.ac_gan import ACGAN
from ganvas.models.gan.conditional import ConditionalGAN
from ganvas.nn.conditional import (
    BatchNormGenerator,
    ConcatenatedCritic,
    ConcatenatedGenerator,
    ProjectionCritic,
)
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.protocols import Conditional, Decodes, Samples
from ganvas.types import Batch
from models.tiny import SHAPE, Batches, equal, fit, images, sgd, weights

own_norm = partial(BatchNormGenerator, spread=0.3)
projection = partial(ProjectionCritic, num_features=5, spectral_norm=False)
adam = partial(torch.optim.Adam, lr=0.01, betas=(0.5, 0.99))
K = 3


def network() -> Any:
    return {
        "generator": partial(DenseDecoder, hidden=[8], norm=nn.BatchNorm1d, output=nn.Tanh),
        "critic": partial(DenseEncoder, hidden=[8], activation=nn.Tanh),
    }


def given(**changed: Any) -> Any:
    """Arguments of both classes."""
    return {
        "image_shape": SHAPE,
        "num_classes": K,
        "latent_dim": 2,
        "network": network(),
        "generator_condition": ConcatenatedGenerator,
        "loss": NonSaturatingLoss(),
        "penalty": {},
        "optimizer": {"generator": sgd, "critic": sgd},
        "n_critic": 1,
        "ema_decay": None,
        **changed,
    }


def conditional(**changed: Any) -> ConditionalGAN:
    """The same weights each time."""
    torch.manual_seed(1)
    return ConditionalGAN(**given(**{"critic_condition": ConcatenatedCritic, **changed}))


def ac_gan(**changed: Any) -> ACGAN:
    """The same weights each time."""
    torch.manual_seed(1)
    return ACGAN(**given(**{"class_weight": 0.7, **changed}))


def labels(*values: int) -> Tensor:
    return torch.tensor(values)


def batch(*values: int) -> Batch:
    return Batch(2 * images(len(values)) - 1, labels(*values))


BOTH = pytest.mark.parametrize("make", [conditional, ac_gan])
PAIRS = pytest.mark.parametrize(
    ("generator", "critic"),
    [(g, c) for g in (ConcatenatedGenerator, own_norm) for c in (ConcatenatedCritic, projection)],
)


@BOTH
def test_it_keeps_the_promises_of_a_conditional_model(make: Any) -> None:
    for protocol in (Conditional, Decodes, Samples):
        assert isinstance(make(), protocol)


@PAIRS
def test_the_two_conditions_are_independent_and_every_weight_is_trained(
    generator: Any, critic: Any
) -> None:
    model = conditional(generator_condition=generator, critic_condition=critic, ema_decay=0.5)
    start = weights(model)
    fit(model, Batches([batch(0, 1, 2, 2, 1, 0)] * 2))
    end = weights(model)
    still = [name for name in start if torch.equal(start[name], end[name])]
    bias = "network.layers.0.bias"  # batch norm takes it away again
    assert set(still) <= {f"generator.{bias}", f"average.network.{bias}"}
    assert not equal(weights(model.average), weights(model.generator))


def test_losses_are_those_of_images_with_their_labels() -> None:
    model, b = conditional(critic_condition=projection), batch(0, 1, 2, 2)
    z = model.noise(b, 2)
    fake = model.generator(z, b.y)
    of_real, of_fake = model.critic(b.x, b.y)[:, 0], model.critic(fake, b.y)[:, 0]
    got = model.critic_terms(b)
    torch.testing.assert_close(got.total, (softplus(-of_real) + softplus(of_fake)).mean())
    model = conditional(critic_condition=projection)  # batch norm's averages as they were
    torch.testing.assert_close(model.generator_terms(b).total, softplus(-of_fake).mean())
    other = conditional(critic_condition=projection).critic_terms(Batch(b.x, labels(1, 1, 2, 2)))
    assert other.total != got.total


def test_passed_together_or_apart_is_one_to_a_critic_without_batch_norm() -> None:
    for loss in (HingeLoss(), RelativisticLoss()):
        terms = [(conditional(together=t, loss=loss), batch(0, 1, 2, 2)) for t in (True, False)]
        for side in ("critic_terms", "generator_terms"):
            totals = [getattr(model, side)(b).total for model, b in terms]
            torch.testing.assert_close(*totals)


@pytest.mark.parametrize("condition", [ConcatenatedCritic, projection])
def test_a_penalty_sees_the_labels_past_the_compiler(condition: Any) -> None:
    model = conditional(critic_condition=condition, penalty={"r1": R1(weight=2.0, interval=1)})
    b = batch(0, 1, 2, 2)
    x = b.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.critic(x, b.y).sum(), x)
    expected = 0.5 * gradient.square().flatten(1).sum(1).mean()
    called: list[bool] = []
    handle = model.critic.register_forward_pre_hook(lambda *_: called.append(True))
    got = model.critic_terms(b)
    handle.remove()
    assert len(called) == 2  # real and fake; the penalty calls `forward` itself
    torch.testing.assert_close(got.parts["r1"], expected)
    wrong = conditional(critic_condition=condition, penalty=model.penalty)
    assert wrong.critic_terms(Batch(b.x, labels(1, 0, 1, 1))).parts["r1"] != got.parts["r1"]


def test_a_step_with_a_penalty_trains_the_classes_that_are_there() -> None:
    penalty = {"gp": GradientPenalty(weight=10.0, interval=1)}
    model = conditional(critic_condition=projection, penalty=penalty)
    start = weights(model)["critic.embedding.weight"]
    fit(model, Batches([batch(0, 2, 2, 0)]))
    moved = (weights(model)["critic.embedding.weight"] - start).abs().amax(1) > 0
    assert moved.tolist() == [True, False, True]


def test_the_class_loss_is_cross_entropy() -> None:
    model, b = ac_gan(), batch(0, 1, 2, 2)
    fake = model.generator(model.noise(b, 2), b.y)
    of_real, of_fake = model.critic(b.x), model.critic(fake)
    assert of_real.shape == (4, 1 + K)
    game = (softplus(-of_real[:, 0]) + softplus(of_fake[:, 0])).mean()
    classes = [cross_entropy(part[:, 1:], b.y) for part in (of_real, of_fake)]
    terms = ac_gan().critic_terms(b)
    torch.testing.assert_close(terms.parts["class_loss"], classes[0] + classes[1])
    torch.testing.assert_close(terms.total, game + 0.7 * (classes[0] + classes[1]))
    right = [(part[:, 1:].argmax(1) == b.y).float().mean() for part in (of_real, of_fake)]
    assert terms.parts["real_class_accuracy"] == right[0]
    assert terms.parts["fake_class_accuracy"] == right[1]
    terms = ac_gan().generator_terms(b)
    torch.testing.assert_close(terms.parts["generator_class_loss"], classes[1])
    torch.testing.assert_close(terms.total, softplus(-of_fake[:, 0]).mean() + 0.7 * classes[1])


@pytest.mark.parametrize("loss", [NonSaturatingLoss(), RelativisticLoss()])
@pytest.mark.parametrize("together", [True, False])
def test_the_generators_class_loss_is_of_the_fakes_whatever_the_critic_sees(
    loss: Any, together: bool
) -> None:
    model, b = ac_gan(loss=loss, together=together), batch(0, 1, 2, 2)
    fake = model.generator(model.noise(b, 2), b.y)
    expected = cross_entropy(model.critic(fake)[:, 1:], b.y)
    parts = ac_gan(loss=loss, together=together).generator_terms(b).parts
    assert set(parts) == {"generator_class_loss"}
    torch.testing.assert_close(parts["generator_class_loss"], expected)


def test_without_weight_an_ac_gans_critic_learns_no_class() -> None:
    model = ac_gan(class_weight=0.0)
    start = weights(model)["critic.layers.2.weight"]
    fit(model, Batches([batch(0, 1, 2, 2)]))
    moved = (weights(model)["critic.layers.2.weight"] - start).abs().amax(1) > 0
    assert moved.tolist() == [True, False, False, False]


@BOTH
def test_the_generators_pass_leaves_the_critic_as_it_was(make: Any) -> None:
    model, b = make(), batch(0, 1, 2, 2)
    still = make(n_critic=2)  # one batch: the critic's step alone
    for m in (model, still):
        fit(m, Batches([b]))
    assert equal(weights(model.critic), weights(still.critic))
    assert not equal(weights(model.generator), weights(still.generator))


@BOTH
def test_samples_go_through_the_classes_or_are_of_those_asked_for(make: Any) -> None:
    model = make(ema_decay=0.5).eval()
    for part in model.generator.parameters():
        part.data.add_(0.1)  # the average stays where it was
    codes = model.prior_codes(7, seed=5)
    cycle = labels(0, 1, 2, 0, 1, 2, 0)
    assert torch.equal(model.class_labels(7), cycle)
    assert torch.equal(model.sample(7, seed=5), model.average(codes, cycle))
    twos = torch.full((7,), 2)
    assert torch.equal(model.sample(7, seed=5, y=twos), model.decode(codes, twos))
    assert not torch.equal(model.sample(7, seed=5, y=twos), model.sample(7, seed=5))


@BOTH
def test_pictures_in_training_have_a_class_in_each_column(make: Any) -> None:
    kept, model = Kept(), make().eval()
    callback = ImageGrids(num=20)
    callback.recorder = kept
    trainer: Any = SimpleNamespace(is_global_zero=True)
    callback.show(trainer, model)
    with torch.no_grad():
        drawn = pictures.to_unit(model.sample(20, seed=0), value_range=model.value_range)
    assert np.array_equal(kept.pictures["samples", 0], pictures.grid(drawn, columns=9))


@BOTH
@pytest.mark.parametrize("num_classes", [None, 0])
def test_unlabelled_data_are_refused(make: Any, num_classes: int | None) -> None:
    with pytest.raises(ValueError, match=f"got {num_classes}: the data have no labels; choose a"):
        make(num_classes=num_classes)


@BOTH
def test_missing_labels_and_replayed_fakes_are_refused(make: Any) -> None:
    bare = Batch(images(2))
    for call in (
        lambda m: m.critic_terms(bare),
        lambda m: m.generator_terms(bare),
        lambda m: m.decode(torch.zeros(2, 2)),
    ):
        with pytest.raises(ValueError, match=r"y must be integer labels \(B,\), got None"):
            call(make())
    with pytest.raises(ValueError, match="replay must be 0 for a conditional model, got 8"):
        make(replay=8)


def two_kinds(size: int) -> Batches:
    """Class 0 has its ink in the left half, class 1 in the right one, with some noise."""
    y = torch.arange(size) % 2
    generator = torch.Generator().manual_seed(0)
    x = -0.8 + 0.1 * torch.rand(size, *SHAPE, generator=generator)
    x[y == 0, ..., :2] += 1.6
    x[y == 1, ..., 2:] += 1.6
    return Batches([Batch(x, y)])


@pytest.mark.parametrize(
    "make",
    [
        conditional,
        partial(conditional, generator_condition=own_norm),
        partial(conditional, critic_condition=projection),
        partial(conditional, generator_condition=own_norm, critic_condition=projection),
        ac_gan,
    ],
    ids=["concatenated", "batch norm", "projection", "batch norm and projection", "ac_gan"],
)
def test_a_trained_model_puts_each_class_where_it_belongs(make: Any) -> None:
    model = make(num_classes=2, optimizer={"generator": adam, "critic": adam})
    loader = two_kinds(32)
    fit(model, Batches(loader.batches * 120))
    model.eval()
    means = torch.stack([loader.batches[0].x[loader.batches[0].y == k].mean(0) for k in (0, 1)])
    with torch.no_grad():
        made = [model.sample(100, seed=1, y=torch.full((100,), k)).mean(0) for k in (0, 1)]
    for k in (0, 1):
        right, wrong = ((made[k] - means[j]).abs().mean() for j in (k, 1 - k))
        assert right < 0.25
        assert wrong > 1
