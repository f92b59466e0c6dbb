"""Networks that are told the class: each condition against its formula, around any network."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, leaky_relu

from ganvas.nn.conditional import (
    BatchNormGenerator,
    ConcatenatedCritic,
    ConcatenatedGenerator,
    ConditionalBatchNorm,
    ProjectionCritic,
    with_class,
)
from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.ema import ExponentialMovingAverage

SHAPE = (1, 8, 8)
K, Z = 3, 5
SIZES: Any = {"num_inputs": Z, "image_shape": SHAPE}
IMAGES: Any = {"num_outputs": 1, "image_shape": SHAPE}
dense_norm = partial(DenseDecoder, hidden=[6], norm=nn.BatchNorm1d)
GENERATORS: dict[str, Any] = {
    "concatenated dense": partial(ConcatenatedGenerator, partial(DenseDecoder, hidden=[6])),
    "concatenated dcgan": partial(ConcatenatedGenerator, partial(DCGANGenerator, width=4)),
    "batch norm dense": partial(BatchNormGenerator, dense_norm, spread=0.3),
    "batch norm dcgan": partial(BatchNormGenerator, partial(DCGANGenerator, width=4), spread=0.3),
}
CRITICS: dict[str, Any] = {
    f"{condition} {name}": partial(kind, network, **options)
    for name, network in {
        "dense": partial(DenseEncoder, hidden=[6], activation=nn.Tanh),
        "dcgan": partial(DCGANCritic, width=4, norm=None),
    }.items()
    for condition, kind, options in (
        ("concatenated", ConcatenatedCritic, {}),
        ("projection", ProjectionCritic, {"num_features": 7, "spectral_norm": False}),
        ("normalised projection", ProjectionCritic, {"num_features": 7, "spectral_norm": True}),
    )
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def labels(*values: int) -> Tensor:
    return torch.tensor(values)


def scrambled(generator: nn.Module) -> nn.Module:
    """Conditional layers whose classes have gone their own ways."""
    for layer in generator.modules():
        if isinstance(layer, ConditionalBatchNorm):
            nn.init.normal_(layer.scale.weight)
            nn.init.normal_(layer.shift.weight)
    return generator


def test_noise_and_label_stand_side_by_side() -> None:
    got = with_class(torch.tensor([[5.0, 6.0], [7.0, 8.0]]), labels(2, 0), num_classes=4)
    assert torch.equal(got, torch.tensor([[5.0, 6, 0, 0, 2, 0], [7.0, 8, 2, 0, 0, 0]]))


@pytest.mark.parametrize("kind", GENERATORS.values(), ids=GENERATORS)
def test_a_generator_makes_of_one_noise_another_image_for_each_class(kind: Any) -> None:
    generator = scrambled(kind(num_classes=K, **SIZES)).eval()
    z = torch.randn(1, Z).expand(K, Z)
    images = generator(z, labels(0, 1, 2))
    assert images.shape == (K, *SHAPE)
    assert all((images[i] - images[j]).abs().max() > 1e-4 for i, j in ((0, 1), (0, 2), (1, 2)))
    alone = generator(z[:1], labels(1))
    torch.testing.assert_close(alone, images[1:2])


@pytest.mark.parametrize("kind", CRITICS.values(), ids=CRITICS)
def test_a_critic_judges_one_image_otherwise_for_each_class(kind: Any) -> None:
    critic = kind(num_classes=K, **IMAGES).eval()
    x = torch.rand(1, *SHAPE).expand(K, *SHAPE)
    logits = critic(x, labels(0, 1, 2))
    assert logits.shape == (K, 1)
    assert logits.flatten().unique().numel() == K
    torch.testing.assert_close(critic(x[:1], labels(2)), logits[2:])


@pytest.mark.parametrize("kind", GENERATORS.values(), ids=GENERATORS)
def test_what_belongs_to_a_class_learns_from_images_of_that_class_alone(kind: Any) -> None:
    generator = kind(num_classes=K, **SIZES)
    generator(torch.randn(4, Z), labels(0, 2, 2, 0)).square().sum().backward()
    tables = [m.weight.grad for m in generator.modules() if isinstance(m, nn.Embedding)]
    if not tables:
        first = next(generator.network.parameters())
        assert first.grad is not None
        columns = first.grad if first.dim() == 2 else first.grad.flatten(1).t()
        tables = [columns[:, Z:].t()]
    for table in tables:
        present = table.abs().amax(1) > 0
        assert present.tolist() == [True, False, True]


@pytest.mark.parametrize("kind", [k for n, k in CRITICS.items() if "normalised" not in n])
def test_a_critics_classes_learn_from_their_own_images(kind: Any) -> None:
    critic = kind(num_classes=K, **IMAGES)
    critic(torch.rand(4, *SHAPE), labels(1, 2, 2, 1)).square().sum().backward()
    (table,) = [m.weight.grad for m in critic.modules() if isinstance(m, nn.Embedding)]
    assert (table.abs().amax(1) > 0).tolist() == [False, True, True]


def test_the_projection_is_its_formula() -> None:
    network = partial(DenseEncoder, hidden=[6])
    critic = ProjectionCritic(network, num_classes=K, num_features=7, spectral_norm=False, **IMAGES)
    x, y = torch.rand(4, *SHAPE), labels(2, 0, 1, 2)
    phi = leaky_relu(critic.network(x), 0.2)
    assert phi.shape == (4, 7)
    expected = [
        critic.linear.weight[0] @ phi[i]
        + critic.linear.bias[0]
        + critic.embedding.weight[k] @ phi[i]
        for i, k in enumerate(y.tolist())
    ]
    torch.testing.assert_close(critic(x, y)[:, 0], torch.stack(expected))


def test_a_projections_vectors_begin_with_length_one() -> None:
    network, sizes = partial(DenseEncoder, hidden=[6]), {"num_classes": 20, "num_features": 500}
    critic = ProjectionCritic(network, spectral_norm=False, **sizes, **IMAGES)
    lengths = critic.embedding.weight.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(20), rtol=0.15, atol=0)


def test_the_head_of_a_projection_has_spectral_norm_one() -> None:
    critic = CRITICS["normalised projection dense"](num_classes=K, **IMAGES)
    for _ in range(30):
        critic(torch.rand(2, *SHAPE), labels(0, 1))
    for part in (critic.linear, critic.embedding):
        largest = torch.linalg.matrix_norm(part.weight, 2)
        torch.testing.assert_close(largest, torch.tensor(1.0), rtol=1e-3, atol=0)


def test_a_projection_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match="num_features must be at least 1, got 0"):
        ProjectionCritic(DenseEncoder, num_classes=K, num_features=0, spectral_norm=False, **IMAGES)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.BatchNorm2d(4, eps=0.1, momentum=0.3)])
def test_equal_classes_are_ordinary_batch_norm(norm: Any) -> None:
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    layer = ConditionalBatchNorm(norm, num_classes=K, spread=0.0)
    layer.y = labels(0, 1, 2, 1, 0)
    x = torch.randn(5, 4, *[3] * (2 if isinstance(norm, nn.BatchNorm2d) else 0))
    torch.testing.assert_close(layer(x), norm(x))
    torch.testing.assert_close(layer.norm.running_var, norm.running_var)
    layer.eval(), norm.eval()
    torch.testing.assert_close(layer(x), norm(x))


def test_each_image_has_the_scale_and_shift_of_its_class() -> None:
    layer = scrambled(ConditionalBatchNorm(nn.BatchNorm2d(2), num_classes=K, spread=0.0))
    x, y = torch.randn(4, 2, 3, 3), labels(2, 0, 0, 1)
    layer.y = y
    got, bare = layer(x), batch_norm(x, None, None, training=True)
    for i, k in enumerate(y.tolist()):
        scale, shift = layer.scale.weight[k], layer.shift.weight[k]
        torch.testing.assert_close(got[i], bare[i] * scale[:, None, None] + shift[:, None, None])


def test_every_batch_norm_of_the_network_is_replaced_and_begins_as_it_was() -> None:
    plain = DCGANGenerator(width=4, norm=nn.BatchNorm2d, **SIZES)
    generator = BatchNormGenerator(
        lambda **_: copy.deepcopy(plain), num_classes=K, spread=0.0, **SIZES
    )
    layers = [m for m in generator.modules() if isinstance(m, ConditionalBatchNorm)]
    norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) == len(norms) > 1
    assert all(not m.affine for m in generator.modules() if isinstance(m, nn.BatchNorm2d))
    z = torch.randn(4, Z)
    torch.testing.assert_close(generator(z, labels(0, 1, 2, 0)), plain(z))


def test_labels_are_there_for_the_length_of_one_pass() -> None:
    generator = GENERATORS["batch norm dcgan"](num_classes=K, **SIZES)
    layer = next(m for m in generator.modules() if isinstance(m, ConditionalBatchNorm))
    generator(torch.randn(2, Z), labels(0, 1))
    assert layer.y is None
    with pytest.raises(RuntimeError):
        generator(torch.randn(2, Z + 1), labels(0, 1))
    assert layer.y is None
    with pytest.raises(ValueError, match="y must be integer labels"):
        generator.network(torch.randn(2, Z))


@pytest.mark.parametrize("kind", [*GENERATORS.values(), *CRITICS.values()])
def test_labels_are_asked_for(kind: Any) -> None:
    made = kind.func in (ConcatenatedGenerator, BatchNormGenerator)
    network = kind(num_classes=K, **(SIZES if made else IMAGES))
    with pytest.raises(ValueError, match=r"y must be integer labels \(B,\), got None"):
        network(torch.zeros(2, Z) if made else torch.zeros(2, *SHAPE), None)


@pytest.mark.parametrize("kind", GENERATORS.values(), ids=GENERATORS)
def test_a_copy_an_average_and_a_restored_state_are_the_same_generator(kind: Any) -> None:
    generator = scrambled(kind(num_classes=K, **SIZES))
    z, y = torch.randn(3, Z), labels(2, 1, 0)
    average = ExponentialMovingAverage(generator, decay=0.5)
    restored = kind(num_classes=K, **SIZES)
    restored.load_state_dict(generator.state_dict())
    expected = generator.eval()(z, y)
    for other in (copy.deepcopy(generator), average, restored.eval()):
        assert torch.equal(other(z, y), expected)
    with torch.no_grad():
        next(generator.parameters()).zero_()
    assert not torch.equal(generator(z, y), expected)
    assert torch.equal(average(z, y), expected)  # its layers are its own


@pytest.mark.parametrize("kind", [*GENERATORS.values(), *CRITICS.values()])
def test_they_are_sized_without_memory(kind: Any) -> None:
    made = kind.func in (ConcatenatedGenerator, BatchNormGenerator)
    with torch.device("meta"):
        network = kind(num_classes=K, **(SIZES if made else IMAGES))
        given = torch.empty(2, Z) if made else torch.empty(2, *SHAPE)
        out = network(given, torch.zeros(2, dtype=torch.long))
    assert out.is_meta
    assert out.shape == ((2, *SHAPE) if made else (2, 1))


def test_a_network_without_batch_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a generator with batch normalisation, and DenseD"):
        BatchNormGenerator(partial(DenseDecoder, hidden=[6]), num_classes=K, spread=0.3, **SIZES)


def test_classes_begin_with_shifts_of_their_own_around_that_of_the_layer() -> None:
    norm = nn.BatchNorm2d(500)
    nn.init.constant_(norm.bias, 2.0)
    shifts = ConditionalBatchNorm(norm, num_classes=20, spread=0.3).shift.weight
    torch.testing.assert_close(shifts.mean().item(), 2.0, rtol=0, atol=0.02)
    torch.testing.assert_close(shifts.std(0).mean().item(), 0.3, rtol=0.05, atol=0)
    with pytest.raises(ValueError, match="spread must be at least 0, got -1"):
        BatchNormGenerator(dense_norm, num_classes=K, spread=-1, **SIZES)
