"""k batches of b make the step that one batch of k·b makes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganvas.models.base import GenerativeModule
from ganvas.types import Batch
from models.tiny import batches, fit, gan, vae, weights

TABLE = torch.randn(64, 3, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def noise_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image has its own noise, however the images are batched."""

    def noise(self: GenerativeModule, batch: Batch, *size: int) -> torch.Tensor:
        del self
        assert size == (3,)
        return TABLE[batch.start : batch.start + len(batch)]

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
