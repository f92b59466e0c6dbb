"""k batches of b make the step that one batch of k·b makes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from ganvas.losses.adversarial import RelativisticLoss
from ganvas.losses.penalties import R1, GradientPenalty, Penalty
from ganvas.models.base import GenerativeModule
from ganvas.models.gan.gan import GAN
from ganvas.types import Batch
from models.snapshots import Snapshots
from models.tiny import batches, fit, gan, sgd, vae, weights

TABLE = torch.randn(64, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def noise_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image has its own noise, however the images are batched."""

    def noise(self: GenerativeModule, batch: Batch, *size: int) -> torch.Tensor:
        del self
        assert size == (3,)
        return TABLE[batch.start : batch.start + len(batch)]

    monkeypatch.setattr(GenerativeModule, "noise", noise)


@pytest.fixture
def noise_of_any_size_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for noise of any size, each use with its own."""

    def noise(self: GenerativeModule, batch: Batch, *size: int, use: int = 0) -> torch.Tensor:
        del self
        generators = [torch.Generator().manual_seed(1000 * use + batch.start + i)
                      for i in range(len(batch))]  # fmt: skip
        return torch.stack([torch.randn(*size, generator=g) for g in generators])

    monkeypatch.setattr(GenerativeModule, "noise", noise)


@pytest.mark.usefixtures("noise_by_image")
@pytest.mark.parametrize("make", [vae, gan, lambda: gan(n_critic=2)], ids=["vae", "gan", "2:1"])
@pytest.mark.parametrize("windows", [2, 4])
def test_accumulated_batches_equal_one_large_batch(make: Any, windows: int) -> None:
    whole, cut = make(), make()
    start = weights(whole)
    fit(whole, batches(num=windows, size=6))
    fit(cut, batches(num=3 * windows, size=2), accumulate=3)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=0, atol=1e-6)
    moved = [(weights(whole)[name] - start[name]).abs().max().item() for name in start]
    assert min(moved) > 1e-4
    assert (cut.step, whole.step) == (3 * windows, windows)
    for name in ("images_seen", "critic_steps", "generator_steps"):
        assert cut.counters.get(name) == whole.counters.get(name)


@pytest.mark.usefixtures("noise_by_image")
def test_a_window_ends_with_the_epoch() -> None:
    """Five batches in windows of two: the last window has one batch, at half its weight."""
    model = gan()
    fit(model, batches(num=5, size=2), accumulate=2, epochs=2)
    assert model.counters == {
        "step": 10,
        "images_seen": 20,
        "critic_steps": 6,
        "generator_steps": 6,
    }


def test_a_short_window_weighs_by_its_batches() -> None:
    """One batch in a window of two: half the gradient, on both sides; the loss logged is whole."""
    shots, logged = [Snapshots(), Snapshots()], []
    for accumulate, shot in enumerate(shots, start=1):
        model = gan(critic=partial(sgd, lr=0.0))
        fit(model, batches(num=1, size=4), accumulate=accumulate, callbacks=[shot])
        logged.append(model.last_parts["generator_loss"])
    for i, side in enumerate(("critic", "generator")):
        whole, half = (shot.grads[i][side] for shot in shots)
        torch.testing.assert_close({n: 2 * g for n, g in half.items()}, whole)
    torch.testing.assert_close(*logged)


def test_the_generators_parts_are_means_over_the_window() -> None:
    model, loader = gan(critic=partial(sgd, lr=0.0)), batches(num=2, size=3)
    losses = []
    for step, batch in enumerate(loader.batches):
        model.counters["step"] = step
        losses.append(model.generator_terms(batch).total.detach())
    model.counters["step"] = 0
    fit(model, loader, accumulate=2)
    assert losses[0] != losses[1]
    torch.testing.assert_close(model.last_parts["generator_loss"], sum(losses) / 2)


def test_the_generator_meets_the_noise_of_its_own_batches() -> None:
    """In a window each batch has its own noise, and the generator's pass uses it again."""
    asked: list[int] = []

    class Listens(type(gan())):
        def noise(self, batch: Batch, *size: int) -> torch.Tensor:
            asked.append(self.step)
            return super().noise(batch, *size)

    model = gan()
    model.__class__ = Listens
    fit(model, batches(num=4, size=2), accumulate=2)
    assert asked == [0, 1, 0, 1, 2, 3, 2, 3]
    assert model.step == 4


@pytest.mark.usefixtures("noise_of_any_size_by_image")
@pytest.mark.parametrize("penalty", [{"r1": R1(weight=5.0, interval=1)},
    {"r1": R1(weight=5.0, interval=2), "gp": GradientPenalty(weight=1.0, interval=1)}],
    ids=["r1", "lazy r1 and gp"])  # fmt: skip
def test_accumulation_of_a_relativistic_gan_with_penalties(penalty: dict[str, Penalty]) -> None:
    """Five critic steps for one of the generator, whose pairs need real logits too."""

    def make() -> GAN:
        return gan(n_critic=5, loss=RelativisticLoss(), penalty=penalty, ema_decay=0.5)

    whole, cut, start = make(), make(), weights(make())
    fit(whole, batches(num=10, size=6))
    fit(cut, batches(num=30, size=2), accumulate=3)
    torch.testing.assert_close(weights(cut), weights(whole), rtol=0, atol=1e-6)
    moved = {n: (w - start[n]).abs().max().item() for n, w in weights(whole).items()}
    assert min(m for n, m in moved.items() if n != "critic.layers.2.bias") > 1e-4
    counters = {"images_seen": 60, "critic_steps": 10, "generator_steps": 2}
    assert whole.counters == {"step": 10, **counters}
    assert cut.counters == {"step": 30, **counters}
