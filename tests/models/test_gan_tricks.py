"""Each trick takes effect, in training alone, and draws by the step: against hand-written loops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganvas.losses.adversarial import RelativisticLoss
from ganvas.losses.penalties import R1, R2
from ganvas.models.gan.gan import GAN
from ganvas.models.gan.showing import Use
from ganvas.nn.diff_augment import WIDTH, diff_augment
from ganvas.types import Batch
from models.tiny import DECAY, SHAPE, TRICKS, batches, fit, gan, images, weights

ALONE = [{name: value} for name, value in TRICKS.items() if name not in ("ema_warmup", "ema_decay")]


class Watched(GAN):
    """Notes what the critic gets to see."""

    shown: list[Tensor]

    def judged(self, images: Tensor, y: Tensor | None, *, plain: bool = False) -> Tensor:
        self.shown.append(images.detach().clone())
        return super().judged(images, y, plain=plain)


def watched(**tricks: Any) -> Watched:
    model = gan(**tricks)
    model.__class__ = Watched
    model.shown = []
    return model


def batch(num: int = 4, *, step: int = 0) -> Batch:
    return Batch(images(num) * 2 - 1, start=step)


def logits(model: GAN) -> tuple[Tensor, Tensor]:
    one = batch()
    with torch.no_grad():
        return model.critic(one.x)[:, 0], model.critic(model.fakes(one))[:, 0]


# In training alone, and by the step


@pytest.mark.parametrize("tricks", [*ALONE, TRICKS], ids=[*(next(iter(t)) for t in ALONE), "all"])
def test_evaluation_knows_no_trick(tricks: dict[str, Any]) -> None:
    """Bare losses of bare images, at every step; the prior and the penalty stay what they are."""
    kept = {name: tricks[name] for name in ("prior", "penalty") if name in tricks}
    model, plain = gan(**tricks).eval(), gan(**kept).eval()
    model.counters["step"] = 3
    torch.testing.assert_close(
        dict(model.evaluation_parts(batch())), dict(plain.evaluation_parts(batch()))
    )


@pytest.mark.parametrize(
    "tricks",
    [t for t in ALONE if next(iter(t)) not in ("together", "replay", "penalty", "label_smoothing")],
    ids=lambda t: next(iter(t)),
)
def test_draws_belong_to_the_step(tricks: dict[str, Any]) -> None:
    def loss(step: int) -> Tensor:
        model = gan(**tricks).train()
        model.counters["step"] = step
        torch.manual_seed(step)
        return model.critic_terms(batch()).total

    assert torch.equal(loss(2), loss(2))
    assert not torch.equal(loss(2), loss(3))
    assert not torch.equal(loss(2), gan().train().critic_terms(batch()).total)


# Labels


def test_smoothed_labels_reach_the_critic() -> None:
    model = gan(label_smoothing=0.1).train()
    real, fake = logits(model)
    expected = 0.9 * softplus(-real) + 0.1 * softplus(real) + softplus(fake)
    torch.testing.assert_close(model.critic_terms(batch()).total, expected.mean())
    generator = model.generator_terms(batch()).total
    torch.testing.assert_close(generator, softplus(-fake).mean())


def test_noisy_and_flipped_labels_reach_the_critic() -> None:
    """Image by image; the generator is told nothing."""
    noise, flips = 0.2, 0.5
    model = gan(label_noise=noise, label_flips=flips).train()
    real, fake = logits(model)
    losses, flipped = [], 0
    draws = model.uniform(batch(), 4, use=Use.LABELS).tolist()
    for r, f, draw in zip(real, fake, draws, strict=True):
        of_real, of_fake = 1 - noise * draw[0], noise * draw[1]
        if draw[2] < flips:
            of_real, flipped = 1 - of_real, flipped + 1
        if draw[3] < flips:
            of_fake, flipped = 1 - of_fake, flipped + 1
        losses.append(of_real * softplus(-r) + (1 - of_real) * softplus(r))
        losses[-1] = losses[-1] + of_fake * softplus(-f) + (1 - of_fake) * softplus(f)
    assert 0 < flipped < 8
    torch.testing.assert_close(model.critic_terms(batch()).total, torch.stack(losses).mean())
    torch.testing.assert_close(model.generator_terms(batch()).total, softplus(-fake).mean())


def test_accuracies_and_logits_are_of_the_true_kinds() -> None:
    told, plain = gan(label_flips=0.9).train(), gan().train()
    parts = told.critic_terms(batch()).parts
    torch.testing.assert_close(dict(parts), dict(plain.critic_terms(batch()).parts))


@pytest.mark.parametrize("name", ["label_smoothing", "label_noise", "label_flips"])
def test_labels_of_a_loss_without_any_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="RelativisticLoss, which compares pairs and has no label"):
        gan(loss=RelativisticLoss(), **{name: 0.1})


# Instance noise


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("step", [0, 4, 10, 30])
def test_instance_noise_has_the_scheduled_deviation_in_units_of_the_range(
    step: int, sigmoid: bool
) -> None:
    model = gan(instance_noise=DECAY).train()
    if sigmoid:
        model.value_range = (0.0, 1.0)
    model.counters["step"] = step
    x = torch.zeros(4000, *SHAPE)
    both = [model.seen(x, Batch(x), real=real) for real in (True, False)]
    expected = max(0.5 - 0.05 * step, 0.0) * (1.0 if sigmoid else 2.0)
    for noise in both:
        assert noise.std().item() == pytest.approx(expected, rel=0.01)
        assert noise.mean().item() == pytest.approx(0.0, abs=0.02)
    if expected:
        together = torch.corrcoef(torch.stack([noise.flatten() for noise in both]))
        assert together[0, 1].abs() < 0.02


def test_a_noise_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"instance_noise must be at least 0, got -0\.1"):
        gan(instance_noise=-0.1)


@pytest.mark.parametrize("loss", [None, RelativisticLoss()])
def test_both_sides_steps_see_the_same_noise(loss: Any) -> None:
    """Real and fake images of the critic's step, and the fakes (and real ones) of the other."""
    model = watched(instance_noise=0.3, **({"loss": loss} if loss else {}))
    loader = batches(num=2, size=4)
    before = [weights(model.generator)]
    fit(model, loader, max_steps=1)
    fresh = gan(instance_noise=0.3).train()
    fresh.generator.load_state_dict(before[0])
    one = loader.batches[0]
    fake = fresh.seen(fresh.fakes(one), one, real=False).detach()
    real = fresh.seen(one.x, one, real=True)
    assert (real - one.x).abs().min() > 0
    expected = [real, fake, real, fake] if loss else [real, fake, fake]
    torch.testing.assert_close(model.shown, expected)


def test_penalties_see_what_the_critic_sees() -> None:
    """With noise, and with old fakes among the new ones."""
    penalty = {"r1": R1(weight=1.0, interval=1), "r2": R2(weight=1.0, interval=1)}
    model = watched(instance_noise=0.3, replay=4, penalty=penalty).train()
    for step in range(3):
        model.counters["step"] = step
        model.shown.clear()
        model.critic_terms(batch())
        real, fake, of_r1, of_r2 = model.shown
        assert torch.equal(of_r1, real)
        assert torch.equal(of_r2, fake)
    assert not torch.equal(real, batch().x)


# Augmentation


@pytest.mark.parametrize("policy", [["color"], ["translation"], ["cutout"], TRICKS["augment"]])
def test_augmentation_by_hand_on_both_sides(policy: Sequence[str]) -> None:
    model, one = gan(augment=policy).train(), batch()
    real_draws = model.uniform(one, WIDTH, use=Use.REAL_AUGMENT)
    fake_draws = model.uniform(one, WIDTH, use=Use.FAKE_AUGMENT)
    augment = partial(diff_augment, policy=policy, value_range=(-1.0, 1.0))
    real = model.critic(augment(one.x, real_draws))[:, 0]
    fake = model.critic(augment(model.fakes(one), fake_draws))[:, 0]
    terms = model.critic_terms(one)
    torch.testing.assert_close(terms.total, (softplus(-real) + softplus(fake)).mean())
    expected = torch.autograd.grad(softplus(-fake).mean(), list(model.generator.parameters()))
    got = torch.autograd.grad(model.generator_terms(one).total, list(model.generator.parameters()))
    torch.testing.assert_close(got, expected)
    assert all(gradient.abs().max() > 0 for gradient in got)


def test_real_and_fake_images_and_each_of_them_have_their_own_draws() -> None:
    model, one = gan(augment=["color"]).train(), batch(300)
    draws = [model.uniform(one, WIDTH, use=use) for use in (Use.REAL_AUGMENT, Use.FAKE_AUGMENT)]
    columns = torch.cat(draws, 1).T
    assert len(columns.unique(dim=1).T) == 300
    off_diagonal = torch.corrcoef(columns) - torch.eye(2 * WIDTH)
    assert off_diagonal.abs().max() < 0.25
    assert columns.mean().item() == pytest.approx(0.5, abs=0.02)


# Replay


def test_old_fakes_come_back_to_the_critic_alone() -> None:
    """From a generator that changes at each step; batches keep their size."""
    model = watched(replay=6)
    fit(model, batches(num=12, size=3))
    assert all(len(shown) == 3 for shown in model.shown)
    to_critic = model.shown[1::3]
    to_generator = model.shown[2::3]
    made = torch.stack(to_generator)[:, :, None]
    old = 0
    for step, shown in enumerate(to_critic):
        same = (shown[None, None] == made).flatten(3).all(3)  # (step made, its image, image shown)
        assert not same[step + 1 :].any()
        own = torch.cat([(shown[i] == to_generator[step][i]).all()[None] for i in range(3)])
        # The generator's step follows the critic's and has the same weights and noise.
        if step < 2:
            assert own.all()
        old += int((~own).sum())
        assert same[: step + 1].any((0, 1)).all()
    assert 8 <= old <= 22  # of 30, about half


def test_replay_is_in_the_checkpoint_and_its_draws_belong_to_the_step() -> None:
    model, other = gan(replay=5), gan(replay=5)
    fit(model, batches(num=4, size=3))
    assert model.history.count == 5
    assert model.history.images.abs().sum() > 0
    other.load_state_dict(model.state_dict())
    state: dict[str, Any] = {}
    model.on_save_checkpoint(state)
    other.on_load_checkpoint(state)
    torch.manual_seed(77)
    totals = [m.train().critic_terms(batch()).total for m in (model, other)]
    assert torch.equal(*totals)
    assert torch.equal(model.history.images, other.history.images)


# Noise of the prior


@pytest.mark.parametrize(("prior", "variance"), [("normal", 1.0), ("uniform", 1 / 3)])
def test_training_and_sampling_draw_from_the_same_prior(prior: str, variance: float) -> None:
    model, seen = gan(prior=prior, ema_decay=0.5), []
    for network in (model.generator, model.average.network):
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.train().fakes(Batch(torch.zeros(5000, *SHAPE)))
    model.eval().sample(5000, seed=3)
    assert [z.shape for z in seen] == [(5000, 3)] * 2
    assert torch.equal(seen[1], model.prior_codes(5000, seed=3))
    for z in seen:
        assert z.var().item() == pytest.approx(variance, rel=0.03)
        assert z.mean().item() == pytest.approx(0.0, abs=0.03)
        assert (z.abs().max() <= 1) == (prior == "uniform")
    if prior == "uniform":
        shares = torch.histc(torch.cat(seen), bins=10, min=-1, max=1) / 30000
        torch.testing.assert_close(shares, torch.full((10,), 0.1), rtol=0, atol=0.01)


def test_a_uniform_draw_is_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Φ(6) is 1 in float32; an index made of that would be one too many."""
    model = gan(replay=3, augment=TRICKS["augment"], label_flips=0.5).train()
    monkeypatch.setattr(model, "noise", lambda b, *size, use=0: torch.full((len(b), *size), 6.0))
    assert torch.special.ndtr(torch.tensor(6.0)) == 1
    draws = model.uniform(batch(), 3, use=Use.REPLAY)
    assert draws.max() < 1
    nums = torch.arange(1, 1 << 20, dtype=torch.float32)
    assert torch.equal((draws[0, 0] * nums).long(), nums.long() - 1)
    for _ in range(3):
        model.critic_terms(batch())
        model.generator_terms(batch())
