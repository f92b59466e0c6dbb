"""Penalties against finite differences, against a linear critic, lazily, and summed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganvas.losses.penalties import (
    R1,
    R2,
    Dragan,
    GradientNorm,
    GradientPenalty,
    Penalty,
    WeightClipping,
    image_gradients,
)
from ganvas.types import LossTerms

SHAPE, NUM = (2, 3, 4), 5
GRADIENT_NORMS = {
    "gradient_penalty": GradientPenalty(weight=10.0, interval=1),
    "r1": R1(weight=2.0, interval=1),
    "r2": R2(weight=2.0, interval=1),
    "dragan": Dragan(weight=10.0, interval=1, scale=0.5),
}
every_norm = pytest.mark.parametrize("penalty", GRADIENT_NORMS.values(), ids=GRADIENT_NORMS)


def drawn(*size: int, seed: int) -> Tensor:
    """Uniform draws, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*size, generator=generator, dtype=torch.float64)


REAL, FAKE = 2 * drawn(NUM, *SHAPE, seed=1) - 1, 2 * drawn(NUM, *SHAPE, seed=2) - 1


class Draws:
    """`draw(*size)`, which remembers what it gave; the same each time it is made."""

    def __init__(self) -> None:
        self.given: list[Tensor] = []

    def __call__(self, *size: int) -> Tensor:
        self.given.append(drawn(NUM, *size, seed=10 + len(self.given)))
        return self.given[-1]


class SmallCritic(nn.Module):
    """A convolution, two smooth activations, and a linear layer, in double precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(18, 4), nn.Tanh()
        )
        self.head = nn.Linear(4, 1)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.head(self.layers(x)).squeeze(1)


class LinearCritic(nn.Module):
    """w·x + b: the gradient is w at every image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(*SHAPE, seed=4) - 0.4)
        self.bias = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x).flatten(1).sum(1) + self.bias


def places(name: str) -> Tensor:
    """Where each penalty looks, written out."""
    draws = Draws()
    if name == "gradient_penalty":
        u = draws(1, 1, 1)
        return (1 - u) * REAL + u * FAKE
    if name == "dragan":
        moved = 0.5 * REAL.numpy().std() * draws(*SHAPE)
        return REAL + draws(1, 1, 1) * moved
    return REAL if name == "r1" else FAKE


def of_gradients(name: str, gradients: Tensor) -> Tensor:
    """Each penalty of gradients `(B, C·H·W)`, written out."""
    squares = (gradients**2).sum(1)
    return squares / 2 if name in ("r1", "r2") else (squares.sqrt() - 1) ** 2


def numeric_gradients(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Central differences in every pixel of every image, `(B, C·H·W)`."""
    step, columns = 1e-5, []
    for place in range(images[0].numel()):
        moved = torch.zeros(images[0].numel(), dtype=images.dtype)
        moved[place] = step
        moved = moved.view(images.shape[1:])
        columns.append((critic(images + moved) - critic(images - moved)) / (2 * step))
    return torch.stack(columns, dim=1).detach()


@pytest.mark.parametrize("name", GRADIENT_NORMS)
def test_values_against_finite_differences(name: str) -> None:
    critic, penalty = SmallCritic(), GRADIENT_NORMS[name]
    expected = of_gradients(name, numeric_gradients(critic, places(name)))
    got = penalty(critic, REAL, FAKE, draw=Draws())
    torch.testing.assert_close(got.detach(), expected, rtol=1e-6, atol=1e-9)
    assert got.shape == (NUM,)
    assert got.detach().std() > 1e-3


@pytest.mark.parametrize("name", GRADIENT_NORMS)
def test_gradients_of_the_weights_against_finite_differences(name: str) -> None:
    """The value is the numeric one of above, so nothing here stands on double backward."""
    critic, images, step = SmallCritic(), places(name), 1e-4
    GRADIENT_NORMS[name](critic, REAL, FAKE, draw=Draws()).mean().backward()
    for seed, (key, weights) in enumerate(critic.named_parameters(), start=20):
        slope = torch.zeros_like(weights) if weights.grad is None else weights.grad
        start = weights.detach().clone()
        for way in 2 * drawn(3, *weights.shape, seed=seed) - 1:
            values = []
            for sign in (1, -1):
                weights.data = start + sign * step * way
                values.append(of_gradients(name, numeric_gradients(critic, images)).mean())
            weights.data = start
            numeric = (values[0] - values[1]) / (2 * step)
            torch.testing.assert_close((slope * way).sum(), numeric, rtol=1e-4, atol=1e-6)
        assert bool(slope.any()) == (key != "head.bias"), key


@pytest.mark.parametrize("name", GRADIENT_NORMS)
def test_a_linear_critic(name: str) -> None:
    """‖∇D‖ = ‖w‖ everywhere; the gradient of the penalty points along w."""
    critic = LinearCritic()
    weight = critic.weight.detach()
    norm = weight.norm()
    values = {"gradient_penalty": (norm - 1) ** 2, "dragan": (norm - 1) ** 2}
    slopes = dict.fromkeys(values, 2 * (norm - 1) / norm * weight)
    value, slope = values.get(name, norm**2 / 2), slopes.get(name, weight)
    got = GRADIENT_NORMS[name](critic, REAL, FAKE, draw=Draws())
    torch.testing.assert_close(got, value.expand(NUM))
    got.mean().backward()
    torch.testing.assert_close(critic.weight.grad, slope)
    assert critic.bias.grad is None


def sums_by_image(images: Tensor) -> Tensor:
    """A critic whose gradient is 2·x: of another norm at each image, in each channel and row."""
    return images.square().flatten(1).sum(1)


def test_the_norm_is_that_of_one_image_over_all_its_axes() -> None:
    """A norm over channels alone, or over the whole batch, is another number."""
    norms = REAL.flatten(1).norm(dim=1)
    got = GRADIENT_NORMS["r1"](sums_by_image, REAL, FAKE, draw=Draws())
    torch.testing.assert_close(got, 2 * norms.square())
    penalty = GRADIENT_NORMS["gradient_penalty"]
    got = penalty(sums_by_image, REAL, REAL, draw=Draws())  # between x and x is x
    torch.testing.assert_close(got, (2 * norms - 1).square())
    over_channels = (2 * REAL.norm(dim=1) - 1).square().mean((1, 2))
    over_batch = (2 * REAL.norm() - 1).square()
    for wrong in (over_channels.mean(), over_batch):
        assert abs(got.mean() - wrong) > 0.5
    assert norms.std() > 0.05


def test_images_do_not_weigh_on_each_other() -> None:
    """A batch is as its images one by one."""
    critic = SmallCritic()
    whole = image_gradients(critic, REAL)
    alone = torch.cat([image_gradients(critic, REAL[i : i + 1]) for i in range(NUM)])
    torch.testing.assert_close(whole, alone)
    assert whole.shape == (NUM, 24)


def seen_by(penalty: GradientNorm) -> tuple[Tensor, list[Tensor]]:
    """Where a penalty evaluates the critic, and the draws that it asked for."""
    seen: list[Tensor] = []

    def critic(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return sums_by_image(images)

    draws = Draws()
    penalty(critic, REAL, FAKE, draw=draws)
    assert len(seen) == 1
    return seen[0], draws.given


def test_an_interpolation_has_one_place_for_each_image() -> None:
    between, [u] = seen_by(GRADIENT_NORMS["gradient_penalty"])
    assert u.shape == (NUM, 1, 1, 1)
    shares = (between - REAL) / (FAKE - REAL)
    torch.testing.assert_close(shares, u.expand_as(shares))
    assert shares[:, 0, 0, 0].unique().numel() == NUM


def test_dragan_looks_around_real_images_alone() -> None:
    """x̂ − x lies in [0, scale · std(x)), differs by pixel, and shrinks by one u an image."""
    around, given = seen_by(GRADIENT_NORMS["dragan"])
    moved = (around - REAL) / (0.5 * REAL.numpy().std())
    assert 0 <= moved.min() < 0.05
    assert 0.5 < moved.max() < 1
    by_pixel, by_image = given
    assert (by_pixel.shape, by_image.shape) == ((NUM, *SHAPE), (NUM, 1, 1, 1))
    torch.testing.assert_close(moved, by_pixel * by_image)
    nowhere, _ = seen_by(Dragan(weight=1.0, interval=1, scale=0.0))
    assert torch.equal(nowhere, REAL)


@every_norm
def test_a_flat_critic_has_finite_gradients(penalty: GradientNorm) -> None:
    """√ has no slope at 0; a critic that starts at 0 must not end in NaN."""
    critic = LinearCritic()
    nn.init.zeros_(critic.weight)
    penalty(critic, REAL, FAKE, draw=Draws()).sum().backward()
    assert torch.isfinite(critic.weight.grad).all()


@every_norm
def test_gradients_reach_the_critic_alone(penalty: GradientNorm) -> None:
    fake = FAKE.clone().requires_grad_()
    critic = SmallCritic()
    value = penalty(critic, REAL, fake, draw=Draws()).mean()
    value.backward()
    assert fake.grad is None
    assert critic.head.weight.grad.any()
    with torch.no_grad():  # as in evaluation
        torch.testing.assert_close(penalty(critic, REAL, fake, draw=Draws()).mean(), value.detach())


@every_norm
def test_half_precision_does_not_reach_a_gradient(penalty: GradientNorm) -> None:
    critic = LinearCritic().float()
    real = REAL.float()
    expected = penalty(critic, real, FAKE.bfloat16().float(), draw=Draws())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = penalty(critic, real, FAKE.bfloat16(), draw=Draws())
        layer = nn.Linear(24, 1)
        gradients = image_gradients(lambda x: layer(x.flatten(1)).squeeze(1), real)
    torch.testing.assert_close(got, expected)
    assert torch.equal(gradients, layer.weight.expand(NUM, 24))


def terms_with(
    penalty: Penalty, critic: nn.Module, *, step: int | None, terms: LossTerms | None = None
) -> LossTerms:
    start = LossTerms(torch.tensor(1.0, dtype=torch.float64)) if terms is None else terms
    return penalty.add_to(
        start, "mine", critic=critic, real=REAL, fake=FAKE, draw=Draws(), step=step
    )


@pytest.mark.parametrize("interval", [1, 4])
@pytest.mark.parametrize("name", GRADIENT_NORMS)
def test_a_lazy_penalty_has_the_gradient_of_an_eager_one(name: str, interval: int) -> None:
    """Averaged over as many steps as the interval has, with the same weights."""
    eager = GRADIENT_NORMS[name]
    lazy = Dragan(weight=eager.weight, interval=interval, scale=0.5)
    if name != "dragan":
        lazy = type(eager)(weight=eager.weight, interval=interval)
    critic = SmallCritic()
    weights = list(critic.parameters())[:-1]  # the last bias is no part of any gradient

    def gradients(penalty: GradientNorm, step: int) -> Tensor:
        total = terms_with(penalty, critic, step=step).total
        if not total.requires_grad:
            return torch.zeros(sum(w.numel() for w in weights), dtype=torch.float64)
        return torch.cat([g.flatten() for g in torch.autograd.grad(total, weights)])

    for first in (0, 3, 10):
        steps = range(first, first + interval)
        mean = torch.stack([gradients(lazy, step) for step in steps]).mean(0)
        torch.testing.assert_close(mean, gradients(eager, first))
    applied = ["mine" in terms_with(lazy, critic, step=s).parts for s in range(8)]
    assert applied == [s % interval == 0 for s in range(8)]


@every_norm
def test_evaluation_leaves_nothing_out_and_makes_up_for_nothing(penalty: GradientNorm) -> None:
    critic = SmallCritic()
    bare = penalty(critic, REAL, FAKE, draw=Draws()).mean()
    penalty_often, penalty.interval = penalty.interval, 16
    try:
        terms = terms_with(penalty, critic, step=None)
        trained = terms_with(penalty, critic, step=32)
    finally:
        penalty.interval = penalty_often
    torch.testing.assert_close(terms.total, 1 + penalty.weight * bare)
    torch.testing.assert_close(trained.total, 1 + 16 * penalty.weight * bare)
    for made in (terms, trained):
        torch.testing.assert_close(made.parts["mine"], bare)


def test_two_penalties_sum() -> None:
    critic = SmallCritic()
    both = LossTerms(torch.tensor(1.0, dtype=torch.float64))
    for name in ("r1", "r2"):
        both = GRADIENT_NORMS[name].add_to(
            both, name, critic=critic, real=REAL, fake=FAKE, draw=Draws(), step=0
        )
    parts = both.parts
    torch.testing.assert_close(both.total, 1 + 2.0 * parts["r1"] + 2.0 * parts["r2"])
    assert parts["r1"] != parts["r2"]


def test_a_base_penalty_changes_nothing() -> None:
    critic, terms = SmallCritic(), LossTerms(torch.tensor(2.0))
    before = [p.clone() for p in critic.parameters()]
    for penalty in (Penalty(), WeightClipping(limit=0.1)):
        assert terms_with(penalty, critic, step=0, terms=terms) is terms
    Penalty().constrain(critic)
    assert all(torch.equal(p, b) for p, b in zip(critic.parameters(), before, strict=True))


def test_clipping_cuts_what_is_outside_and_nothing_else() -> None:
    critic = SmallCritic()
    before = [p.detach().clone() for p in critic.parameters()]
    WeightClipping(limit=0.2).constrain(critic)
    for now, then in zip(critic.parameters(), before, strict=True):
        torch.testing.assert_close(now.detach(), then.clip(-0.2, 0.2), rtol=0, atol=0)
    assert any((then.abs() > 0.2).any() for then in before)
    assert any((then.abs() < 0.2).any() for then in before)


def test_refusals() -> None:
    for kind in (GradientPenalty, R1, R2):
        with pytest.raises(ValueError, match=r"^weight must be at least 0, got -1"):
            kind(weight=-1.0, interval=1)
        with pytest.raises(ValueError, match=r"^interval must be at least 1 critic step, got 0"):
            kind(weight=1.0, interval=0)
    with pytest.raises(ValueError, match=r"^scale must be at least 0, got -2"):
        Dragan(weight=1.0, interval=1, scale=-2.0)
    for limit in (0.0, -0.01, float("nan")):
        with pytest.raises(ValueError, match=rf"^limit must be positive, got {limit}"):
            WeightClipping(limit=limit)
