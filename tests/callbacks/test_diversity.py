"""Diversity of samples: its value, where it is published, and that nothing else changes."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from callbacks.recorders import Kept
from ganvas.callbacks.diversity import Diversity, mean_squared_distance
from ganvas.callbacks.figures import Figures
from ganvas.models.gan.gan import GAN
from ganvas.nn.random_features import RandomFeatures
from ganvas.types import Batch
from models.tiny import SHAPE, Batches, batches, equal, fit, gan, images, vae, weights


def diversity(num: int = 6, features: nn.Module | None = None) -> Diversity:
    return Diversity(num=num, features=features or RandomFeatures(widths=[4], seed=0))


def pairwise(points: Tensor) -> Tensor:
    """By its definition: over all ordered pairs."""
    pairs = list(permutations(points.double().flatten(1), 2))
    return torch.stack([(a - b).square().sum() for a, b in pairs]).mean()


def sampling(samples: Tensor) -> GAN:
    """A GAN whose samples are these."""
    model = gan()

    def sample(self: GAN, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        return samples[:num]

    model.sample = MethodType(sample, model)
    return model


def validated(model: Any, callback: Diversity, *, val: Batches | None = None) -> dict[int, float]:
    """`val/diversity` by step."""
    kept = Kept()
    callbacks = [Figures(kept, every_n_steps=9), callback]
    fit(model, batches(num=2, size=3), epochs=2, callbacks=callbacks, val=val or signed(4, 2))
    return kept.means("val/diversity")


def signed(num: int, size: int) -> Batches:
    """Batches in a GAN's range [-1, 1]."""
    loader = batches(num=num, size=size)
    return Batches([Batch(2 * b.x - 1, start=b.start) for b in loader.batches])


def test_it_is_the_mean_over_pairs() -> None:
    points = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_squared_distance(points), pairwise(points))
    torch.testing.assert_close(
        mean_squared_distance(points + 1e3), pairwise(points), rtol=1e-5, atol=0
    )


def test_a_validation_publishes_the_ratio_to_real_images() -> None:
    model, val = gan(), signed(4, 2)
    values = validated(model, diversity(), val=val)
    assert list(values) == [2, 4]
    real = torch.cat([batch.x[[0, 1]] for batch in val.batches])[:6]
    with torch.no_grad():
        expected = pairwise(model.eval().sample(6, seed=0)) / pairwise(real)
    assert values[4] == pytest.approx(expected.item(), rel=1e-5)
    assert values[2] != values[4]


def test_copies_of_the_data_have_one_and_copies_of_one_image_none() -> None:
    data = 2 * images(8) - 1
    assert validated(sampling(data), diversity(8))[4] == pytest.approx(1.0, rel=1e-6)
    alike = data[:1].expand(8, *SHAPE)
    assert validated(sampling(alike), diversity(8))[4] == pytest.approx(0.0, abs=1e-9)


def test_distances_are_of_the_features_given() -> None:
    """Images whose halves differ, and features that see the other half only."""
    data = torch.rand(8, *SHAPE)
    data[:, :, :2] = 0.0
    top = nn.Sequential(nn.Flatten(), nn.Linear(16, 8, bias=False))
    top[1].weight.data = torch.eye(16)[:8]
    val = Batches([Batch(2 * images(8) - 1)])
    assert validated(sampling(2 * data - 1), diversity(8, top), val=val)[4] < 1e-9
    assert validated(sampling(2 * data - 1), diversity(8), val=val)[4] > 0.1


def test_real_images_are_spread_over_a_sorted_split() -> None:
    """Of four batches each of its own kind, each gives its share."""
    callback, kinds = diversity(4), torch.arange(4.0)
    x = kinds.repeat_interleave(5).reshape(20, 1, 1, 1).expand(20, *SHAPE)
    val = Batches([Batch(x[i : i + 5], start=i) for i in range(0, 20, 5)])
    validated(gan(), callback, val=val)
    num, spread = callback._real["val"]
    assert num == 4
    torch.testing.assert_close(spread, pairwise((x[::5] + 1) / 2))


@pytest.mark.parametrize("size", [1, 2])
def test_fewer_than_two_images_have_no_diversity(size: int) -> None:
    values = validated(gan(), diversity(), val=signed(1, size))
    assert len(values) == (2 if size == 2 else 0)


def test_training_is_the_same_with_and_without() -> None:
    """With batch norm and dropout, whose buffers and random numbers would show it."""

    def trained(*callbacks: Any) -> tuple[dict[str, Tensor], Tensor]:
        model = gan()
        model.critic.layers.insert(1, nn.Dropout(0.5))  # type: ignore[operator]
        model.generator.layers.insert(1, nn.BatchNorm1d(8))  # type: ignore[operator]
        modes = [part.training for part in model.modules()]
        fit(model, batches(num=3, size=3), epochs=2, callbacks=callbacks, val=signed(2, 3))
        assert [part.training for part in model.modules()] == modes
        state = {k: v.clone() for k, v in model.state_dict().items()}
        return state, torch.get_rng_state()

    plain, random = trained()
    watched, same = trained(diversity())
    assert equal(plain, watched)
    assert torch.equal(random, same)


def test_features_given_are_frozen() -> None:
    features = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16))
    before = weights(features)
    validated(gan(), diversity(6, features))
    assert equal(before, weights(features))
    assert features[1].num_batches_tracked == 0
    assert not any(p.requires_grad for p in features.parameters())


def test_a_model_that_is_no_game_is_left_alone() -> None:
    assert validated(vae(), diversity(), val=batches(num=2, size=3)) == {}
    assert not Diversity.measures(type(vae()))


def test_another_rank_has_rank_0s_value() -> None:
    """It keeps and draws nothing itself."""
    logged: dict[str, float] = {}
    model = gan()
    model.log = lambda name, value, **_: logged.update({name: value})
    model.sample = partial(pytest.fail, "drawn")
    strategy = SimpleNamespace(broadcast=lambda value: 0.25 if value is None else pytest.fail())
    trainer: Any = SimpleNamespace(
        is_global_zero=False, world_size=2, strategy=strategy, num_val_batches=[1]
    )
    callback = diversity()
    callback.on_validation_batch_end(trainer, model, None, Batch(images(4)), 0)
    callback.on_validation_epoch_end(trainer, model)
    assert logged == {"val/diversity": 0.25}
    assert callback._kept == []


@pytest.mark.parametrize("features", ["None", "nn.Flatten", "partial(nn.Flatten)"])
def test_features_are_a_network(features: str) -> None:
    with pytest.raises(ValueError, match="features must name a network by _target_, got "):
        Diversity(num=4, features=eval(features))


def test_a_pair_is_needed() -> None:
    with pytest.raises(ValueError, match="num must be at least 2, got 1"):
        diversity(1)
