"""Contractive and regularised autoencoders: penalties against torch's own Jacobians."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from tiny import SHAPE, images, sgd
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.contractive import ContractiveAutoencoder
from ganvas.models.autoencoder.rae import RegularizedAutoencoder
from ganvas.nn.conv import ConvDecoder, ConvEncoder
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.types import Batch

DENSE = {
    "encoder": partial(DenseEncoder, hidden=[8], activation=nn.Tanh),
    "decoder": partial(DenseDecoder, hidden=[8], activation=nn.Tanh),
}
CONV = {
    "encoder": partial(ConvEncoder, channels=[4], activation=nn.ELU),
    "decoder": partial(ConvDecoder, channels=[4], activation=nn.ELU),
}
NETWORKS = pytest.mark.parametrize("network", [DENSE, CONV], ids=["dense", "conv"])


def build(kind: type[Any], *, network: dict[str, Any] = DENSE, **own: Any) -> Any:
    """A small model of a kind, the same weights each time."""
    torch.manual_seed(1)
    shared = {"latent_dim": 6, "network": network, "loss": SquaredError(), "optimizer": sgd}
    return kind(image_shape=SHAPE, **shared, **own)


def contractive(*, weight: float = 1.0, num_projections: int | None = None, **own: Any) -> Any:
    return build(
        ContractiveAutoencoder, contraction_weight=weight, num_projections=num_projections, **own
    )


def rae(regularizer: str, *, weight: float = 1.0, code_weight: float = 1.0, **own: Any) -> Any:
    return build(
        RegularizedAutoencoder,
        regularizer=regularizer,
        regularizer_weight=weight,
        code_weight=code_weight,
        **own,
    )


def squared_norms(function: Any, inputs: Tensor) -> Tensor:
    """‖J‖²_F of each sample, one Jacobian after the other."""
    return torch.stack([jacobian(function, x[None]).square().sum() for x in inputs])


def total(model: Any, batch: Batch) -> Tensor:
    return model.loss_terms(batch).total


# Contractive


@NETWORKS
def test_the_contraction_is_the_encoders_jacobian(network: dict[str, Any]) -> None:
    batch = Batch(images(5))
    for weight in (0.0, 0.1, 2.0):
        model = contractive(weight=weight, network=network)
        terms = model.loss_terms(batch)
        expected = squared_norms(model.encode, batch.x).mean()
        torch.testing.assert_close(terms.parts["contraction"], expected)
        torch.testing.assert_close(terms.total, terms.parts["mse"] + weight * expected)


class SigmoidLayer(nn.Module):
    """The encoder of the paper: h = sigmoid(W x + b)."""

    def __init__(self, *, image_shape: tuple[int, int, int], num_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(image_shape), num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)).sigmoid()


def test_of_one_sigmoid_layer_it_has_the_papers_closed_form() -> None:
    batch = Batch(images(5))
    model = contractive(network={**DENSE, "encoder": SigmoidLayer})
    h, weights = model.encode(batch.x), model.encoder.linear.weight
    closed = ((h * (1 - h)).square() @ weights.square().sum(1)).mean()
    got = model.loss_terms(batch).parts["contraction"]
    torch.testing.assert_close(got, closed)
    names = ["encoder.linear.weight", "encoder.linear.bias"]
    inputs = [model.get_parameter(name) for name in names]
    for one, two in zip(
        torch.autograd.grad(got, inputs), torch.autograd.grad(closed, inputs), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_projections_estimate_it_without_bias() -> None:
    batch = Batch(images(4))
    exact = contractive().loss_terms(batch).parts["contraction"].item()
    model = contractive(num_projections=2)
    draws = []
    for step in range(400):
        model.counters["step"] = step
        draws.append(model.loss_terms(batch).parts["contraction"].item())
    mean, error = torch.tensor(draws).mean(), torch.tensor(draws).std() / math.sqrt(400)
    assert error < 0.05 * exact
    assert abs(mean - exact) < 4 * error
    assert len(set(draws)) == 400


def test_more_projections_estimate_it_better() -> None:
    batch, errors = Batch(images(4)), {}
    exact = contractive().loss_terms(batch).parts["contraction"].item()
    for num in (1, 300):
        value = contractive(num_projections=num).loss_terms(batch).parts["contraction"].item()
        errors[num] = abs(value / exact - 1)
    assert errors[300] < 0.1 < 2 * errors[1] + 0.1
    assert errors[300] > 0


@pytest.mark.parametrize("num_projections", [None, 2])
def test_evaluation_without_gradients_finds_the_same(num_projections: int | None) -> None:
    model, batch = contractive(num_projections=num_projections).eval(), Batch(images(5))
    wanted = model.loss_terms(batch)
    with torch.no_grad():
        got = model.loss_terms(batch)
    assert torch.equal(got.total, wanted.total)
    assert torch.equal(got.parts["contraction"], wanted.parts["contraction"])
    assert batch.x.grad is None
    assert not batch.x.requires_grad


def test_without_contraction_it_is_the_plain_autoencoder() -> None:
    batch = Batch(images(5))
    plain = total(build(Autoencoder), batch)
    assert torch.equal(total(contractive(weight=0.0), batch), plain)
    assert total(contractive(weight=0.1), batch) > plain


@NETWORKS
def test_training_contracts(network: dict[str, Any]) -> None:
    batch, left = Batch(images(16)), {}
    for weight in (0.0, 1.0):
        model = contractive(weight=weight, network=network)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(15):
            optimizer.zero_grad()
            total(model, batch).backward()
            optimizer.step()
        left[weight] = model.loss_terms(batch).parts["contraction"].item()
    assert left[1.0] < 0.7 * left[0.0]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"weight": -0.1}, r"contraction_weight must be at least 0, got -0\.1; "),
        ({"num_projections": 0}, "num_projections must be at least 1, got 0; null is exact"),
    ],
)
def test_contractive_refuses(own: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        contractive(**own)


# Regularised


@pytest.mark.parametrize("regularizer", ["gradient_penalty", "l2", "none"])
def test_the_objective_is_distance_codes_and_regulariser(regularizer: str) -> None:
    batch = Batch(images(5))
    model = rae(regularizer, code_weight=0.3, weight=0.7)
    terms, z = model.loss_terms(batch), model.encode(batch.x)
    size = 0.5 * (z * z).sum() / 5
    torch.testing.assert_close(terms.parts["code_norm"], size)
    value = terms.parts.get(regularizer, torch.tensor(0.0))
    assert set(terms.parts) == {"mse", "code_norm", regularizer} - {"none"}
    torch.testing.assert_close(terms.total, terms.parts["mse"] + 0.3 * size + 0.7 * value)
    assert (value > 0) == (regularizer != "none")


def test_l2_is_of_the_decoder_alone() -> None:
    model, batch = rae("l2"), Batch(images(5))
    expected = sum(p.square().sum().item() for p in model.decoder.parameters())
    got = model.loss_terms(batch).parts["l2"]
    assert got.item() == pytest.approx(expected, rel=1e-5)
    got.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    for p in model.decoder.parameters():
        torch.testing.assert_close(p.grad, 2 * p.detach())


@NETWORKS
def test_the_gradient_penalty_estimates_the_decoders_jacobian(network: dict[str, Any]) -> None:
    batch = Batch(images(4))
    model = rae("gradient_penalty", network=network)
    exact = squared_norms(model.decode, model.encode(batch.x).detach()).mean().item()
    draws = []
    for step in range(400):
        model.counters["step"] = step
        draws.append(model.loss_terms(batch).parts["gradient_penalty"].item())
    mean, error = torch.tensor(draws).mean(), torch.tensor(draws).std() / math.sqrt(400)
    assert error < 0.05 * exact
    assert abs(mean - exact) < 4 * error


def test_one_draw_is_the_norm_of_one_projection() -> None:
    batch = Batch(images(4))
    model = rae("gradient_penalty")
    noise, z = model.noise(batch, *SHAPE), model.encode(batch.x).detach()
    expected = []
    for i in range(4):
        derivative = jacobian(model.decode, z[i : i + 1])[0, ..., 0, :]
        expected.append(torch.einsum("chw,chwz->z", noise[i], derivative).square().sum())
    got = model.loss_terms(batch).parts["gradient_penalty"]
    torch.testing.assert_close(got, torch.stack(expected).mean())


def test_the_gradient_penalty_trains_both_sides_and_is_judged_without_gradients() -> None:
    model, batch = rae("gradient_penalty"), Batch(images(5))
    model.loss_terms(batch).parts["gradient_penalty"].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.decoder.parameters())
    model.eval()
    wanted = total(model, batch)
    with torch.no_grad():
        assert torch.equal(total(model, batch), wanted)


def test_without_weights_it_is_the_plain_autoencoder() -> None:
    batch = Batch(images(5))
    plain = total(build(Autoencoder), batch)
    for regularizer in ("gradient_penalty", "l2", "none"):
        assert torch.equal(total(rae(regularizer, weight=0.0, code_weight=0.0), batch), plain)
    assert total(rae("none"), batch) > plain


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"regularizer": "l1"}, "regularizer must be one of gradient_penalty, l2, none, got l1"),
        ({"regularizer": "l2", "weight": -1}, "regularizer_weight must be at least 0, got -1; "),
        ({"regularizer": "l2", "code_weight": -1}, "code_weight must be at least 0, got -1; "),
    ],
)
def test_rae_refuses(own: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rae(**own)
