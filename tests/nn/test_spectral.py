"""Spectral norm: the largest singular value of each weight is 1, and stays so."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ganvas.nn.spectral import spectrally_normalised

ITERATIONS = 200  # of the power method, one for each forward pass


def matrix(layer: nn.Module) -> Tensor:
    """The weight as output channels by all the rest."""
    weight = layer.weight
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    return weight.flatten(1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(5, 3, 4, 2, 1),
        nn.Flatten(),
        nn.Linear(3 * 64, 4),
    )


def passes(module: nn.Module, num: int) -> None:
    x = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(num):
            module(x)


LAYERS = (0, 2, 4)


def test_the_largest_singular_value_is_one() -> None:
    plain = network()
    normalised = spectrally_normalised(copy.deepcopy(plain))
    passes(normalised, ITERATIONS)
    for i in LAYERS:
        wanted = matrix(plain[i]) / torch.linalg.svdvals(matrix(plain[i]))[0]
        torch.testing.assert_close(matrix(normalised[i]), wanted, rtol=1e-4, atol=1e-6)
        top = torch.linalg.svdvals(matrix(normalised[i]))[0]
        torch.testing.assert_close(top, torch.ones(()), rtol=1e-4, atol=0)
        assert abs(torch.linalg.svdvals(matrix(plain[i]))[0] - 1) > 0.01


def test_it_stays_one_when_the_weights_grow() -> None:
    normalised = spectrally_normalised(network())
    passes(normalised, ITERATIONS)
    before = [matrix(normalised[i]).clone() for i in LAYERS]
    with torch.no_grad():
        for parameter in normalised.parameters():
            parameter.mul_(7.0)
    for i, weight in zip(LAYERS, before, strict=True):
        torch.testing.assert_close(matrix(normalised[i]), weight, rtol=1e-4, atol=1e-6)


def test_only_training_iterates() -> None:
    normalised = spectrally_normalised(network())
    buffers = {name: b.clone() for name, b in normalised.named_buffers()}
    normalised.eval()
    passes(normalised, 2)
    assert all(torch.equal(b, buffers[name]) for name, b in normalised.named_buffers())
    normalised.train()
    passes(normalised, 1)
    assert any(not torch.equal(b, buffers[name]) for name, b in normalised.named_buffers())


def test_a_pass_in_training_is_one_power_iteration() -> None:
    layer = spectrally_normalised(nn.Sequential(nn.Linear(6, 4)))[0]
    norm, weight = layer.parametrizations.weight[0], layer.parametrizations.weight.original
    with torch.no_grad():
        weight.copy_(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
        left = nn.functional.normalize(weight @ norm._v, dim=0)
        right = nn.functional.normalize(weight.T @ left, dim=0)
        layer(torch.zeros(1, 6))
        torch.testing.assert_close((norm._u, norm._v), (left, right))
        torch.testing.assert_close(layer.eval().weight, weight / (left @ weight @ right))


def test_a_state_dict_brings_weights_and_vectors() -> None:
    first, second = spectrally_normalised(network()), spectrally_normalised(network())
    with torch.no_grad():
        first[0].parametrizations.weight.original.add_(1.0)
    passes(first, 3)
    second.load_state_dict(first.state_dict())
    x = torch.randn(2, 2, 4, 4)
    for _ in range(3):  # each pass goes on from the same vectors
        assert torch.equal(first(x), second(x))


def test_a_copy_is_its_own() -> None:
    first = spectrally_normalised(network())
    second = copy.deepcopy(first)
    x = torch.randn(2, 2, 4, 4)
    first.eval()
    second.eval()
    assert torch.equal(first(x), second(x))
    with torch.no_grad():
        second[4].parametrizations.weight.original[0].mul_(-3.0)
    assert not torch.equal(first(x), second(x))


def test_gradients_are_those_of_the_quotient() -> None:
    """d(W/σ) by autograd through the exact σ; the power method has settled."""
    normalised = spectrally_normalised(nn.Sequential(nn.Linear(6, 4)))
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for _ in range(ITERATIONS):
            normalised(x)
    normalised.eval()
    normalised(x).square().sum().backward()
    original = normalised[0].parametrizations.weight.original
    weight = original.detach().clone().requires_grad_()
    exact = weight / torch.linalg.matrix_norm(weight, ord=2)
    nn.functional.linear(x, exact, normalised[0].bias.detach()).square().sum().backward()
    torch.testing.assert_close(original.grad, weight.grad, rtol=1e-3, atol=1e-4)


def test_other_layers_are_left_alone() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(0.2))
    names = list(dict(module.named_parameters()))
    assert spectrally_normalised(module) is module
    assert list(dict(module.named_parameters())) == names


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_logits_do_not_grow_with_the_weights(scale: float) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 5, bias=False), nn.ReLU(), nn.Linear(5, 1, bias=False))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    spectrally_normalised(module)
    x = torch.randn(20, 5)
    with torch.no_grad():
        for _ in range(ITERATIONS):
            module(x)
    values, other = module(x), module(x + 0.1)
    assert ((values - other).norm(dim=1) <= (1 + 1e-4) * 0.1 * 5**0.5).all()  # 1-Lipschitz
