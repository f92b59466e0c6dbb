"""What the tests of hybrids share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.models.adversarial import AdversarialModule, frozen
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.types import Batch
from models.tiny import batches, fit, weights


def network() -> dict[str, Any]:
    """Factories of small dense networks."""
    return {
        "encoder": partial(DenseEncoder, hidden=[8]),
        "decoder": partial(DenseDecoder, hidden=[8]),
        "critic": partial(DenseEncoder, hidden=[8], activation=nn.Tanh),
    }


def critics(model: AdversarialModule) -> list[nn.Module]:
    return [module for side in model.critic_side().values() for module in side]


def generator_gradients(
    model: AdversarialModule, batch: Batch, names: Iterable[str]
) -> dict[str, list[Tensor | None]]:
    """Gradients of the generator's pass as the base makes it, by network."""
    model.zero_grad()
    with frozen(critics(model)):
        model.generator_terms(batch).total.backward()
    networks = model.networks()
    found = {n: [p.grad for p in networks[n].parameters()] for n in names}
    model.zero_grad()
    return found


def assert_sides_are_apart(model: AdversarialModule, batch: Batch) -> None:
    """The critic's pass leaves gradients on the critic alone, the generator's on all others."""
    model.zero_grad()
    model.critic_terms(batch).total.backward()
    for name, part in model.networks().items():
        for p in part.parameters():
            assert (p.grad is not None and bool(p.grad.any())) == (name == "critic"), name
    others = [name for name in model.networks() if name != "critic"]
    assert sorted(others) == ["decoder", "encoder"]
    made = generator_gradients(model, batch, [*others, "critic"])
    assert all(g is None for g in made["critic"])
    for name in others:
        assert all(g is not None and bool(g.any()) for g in made[name]), name


def assert_three_steps_train_all(model: AdversarialModule) -> None:
    """Three batches are three steps of both sides, and every weight moves."""
    before = {name: weights(part) for name, part in model.networks().items()}
    fit(model, batches(num=3, size=4))
    assert model.counters == {
        "step": 3, "images_seen": 12, "critic_steps": 3, "generator_steps": 3
    }  # fmt: skip
    for name, part in model.networks().items():
        for key, after in weights(part).items():
            assert not torch.equal(after, before[name][key]), f"{name}.{key}"
    assert {"critic_loss", "generator_loss"} <= set(model.last_parts)
