"""Denoising, sparse and k-sparse autoencoders: what each adds, against closed forms."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from tiny import SHAPE, images, sgd
from torch import Tensor

from ganvas.losses.reconstruction import AbsoluteError, ReconstructionLoss, SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.denoising import DenoisingAutoencoder
from ganvas.models.autoencoder.k_sparse import KSparseAutoencoder, largest_units
from ganvas.models.autoencoder.sparse import SparseAutoencoder, sparsity_penalty
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.corruptions import GaussianCorruption, MaskingCorruption
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.types import Batch


def build(kind: type[Any], *, loss: ReconstructionLoss | None = None, **own: Any) -> Any:
    """A small model of a kind, the same weights each time."""
    torch.manual_seed(1)
    network = {
        "encoder": partial(DenseEncoder, hidden=[8]),
        "decoder": partial(DenseDecoder, hidden=[8]),
    }
    shared = {"latent_dim": 6, "network": network, "loss": loss or SquaredError()}
    return kind(image_shape=SHAPE, optimizer=sgd, **{**shared, **own})


def objective(model: AutomaticModule, batch: Batch) -> Tensor:
    return model.loss_terms(batch).total


# Denoising


def test_denoising_compares_the_clean_image_with_what_its_corruption_becomes() -> None:
    x, corruption = images(5), MaskingCorruption(probability=0.5)
    for loss in (SquaredError(), AbsoluteError()):
        model = build(DenoisingAutoencoder, corruption=corruption, loss=loss)
        seen = corruption(x, model.noise(Batch(x), *SHAPE))
        error = model.reconstruct(seen) - x
        expected = (error.square() if loss.name == "mse" else error.abs()).flatten(1).sum(1).mean()
        got = model.loss_terms(Batch(x))
        torch.testing.assert_close(got.total, expected)
        torch.testing.assert_close(got.parts[loss.name], expected)


def test_without_corruption_it_is_the_plain_autoencoder_to_the_bit() -> None:
    batch = Batch(images(5))
    plain = objective(build(Autoencoder), batch)
    none = build(DenoisingAutoencoder, corruption=GaussianCorruption(std=0.0))
    some = build(DenoisingAutoencoder, corruption=GaussianCorruption(std=0.5))
    assert torch.equal(objective(none, batch), plain)
    assert not torch.equal(objective(some, batch), plain)


def test_each_step_corrupts_anew_and_evaluation_always_alike() -> None:
    model = build(DenoisingAutoencoder, corruption=MaskingCorruption(probability=0.5))
    batch = Batch(images(5))
    first = objective(model, batch)
    assert torch.equal(objective(model, batch), first)
    model.counters["step"] = 1
    assert not torch.equal(objective(model, batch), first)
    model.eval()
    judged = objective(model, batch)
    model.counters["step"] = 2
    assert torch.equal(objective(model, batch), judged)
    assert not torch.equal(objective(model, Batch(batch.x, start=5)), judged)


def test_nothing_is_corrupted_where_an_image_is_reconstructed() -> None:
    x = images(5)
    model = build(DenoisingAutoencoder, corruption=MaskingCorruption(probability=0.9)).eval()
    plain = build(Autoencoder)
    assert torch.equal(model.reconstruct(x), plain.reconstruct(x))
    assert torch.equal(model.encode(x), plain.encode(x))
    error = (plain.reconstruct(x) - x).square().flatten(1).sum(1).mean()
    parts = model.reconstruction_parts(Batch(x))
    torch.testing.assert_close(parts["reconstruction_mse"], error)
    assert not torch.allclose(model.loss_terms(Batch(x)).parts["mse"], error)


# Sparse


@pytest.mark.parametrize("rho", [0.05, 0.1, 0.5, 0.9])
def test_the_sparsity_penalty_is_zero_at_its_target_and_positive_elsewhere(rho: float) -> None:
    assert sparsity_penalty(torch.full((4, 7), rho), rho).item() == 0
    spread = torch.tensor([[0.5 * rho], [1.5 * rho]]).clamp(max=1)  # the mean counts, not the units
    if rho <= 0.5:
        assert sparsity_penalty(spread, rho).item() == pytest.approx(0, abs=1e-7)
    for other in (0.5 * rho, rho - 0.01, rho + 0.01, 0.5 * (1 + rho)):
        assert sparsity_penalty(torch.full((4, 7), other), rho) > 0


def test_the_sparsity_penalty_is_a_sum_of_bernoulli_divergences() -> None:
    code = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for j in range(5):
        mean = sum(code[b, j].item() for b in range(6)) / 6
        expected += 0.1 * math.log(0.1 / mean) + 0.9 * math.log(0.9 / (1 - mean))
    assert sparsity_penalty(code, 0.1).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_dead_and_saturated_units_are_penalised_without_infinities(level: float) -> None:
    code = torch.full((4, 2), level, requires_grad=True)
    penalty = sparsity_penalty(code, 0.05)
    assert math.isfinite(penalty.item())
    assert penalty > sparsity_penalty(torch.full((4, 2), abs(level - 0.01)), 0.05)
    (slope,) = torch.autograd.grad(penalty, code)
    assert torch.isfinite(slope).all()


def test_the_penalty_pushes_means_towards_the_target() -> None:
    code = torch.tensor([[0.01, 0.1, 0.4]], requires_grad=True)
    (slope,) = torch.autograd.grad(sparsity_penalty(code, 0.1), code)
    assert slope[0, 0] < 0 < slope[0, 2]
    assert slope[0, 1].abs() < 1e-6


def test_the_sparse_objective_is_distance_plus_weighted_penalty() -> None:
    batch = Batch(images(5))
    for weight in (0.0, 1.0, 2.5):
        model = build(SparseAutoencoder, sparsity=0.2, sparsity_weight=weight)
        code, terms = model.encode(batch.x), model.loss_terms(batch)
        assert ((code > 0) & (code < 1)).all()
        torch.testing.assert_close(code, model.encoder(batch.x).sigmoid())
        penalty = sparsity_penalty(code, 0.2)
        error = (model.decode(code) - batch.x).square().flatten(1).sum(1).mean()
        torch.testing.assert_close(terms.parts["sparsity_penalty"], penalty)
        torch.testing.assert_close(terms.total, error + weight * penalty)


def test_the_distance_is_an_images_own_and_the_sparsity_penalty_a_batchs() -> None:
    x = images(6)
    model = build(SparseAutoencoder, sparsity=0.2, sparsity_weight=1.0)
    whole = model.loss_terms(Batch(x)).parts
    cuts = [model.loss_terms(Batch(x[:3])).parts, model.loss_terms(Batch(x[3:])).parts]
    mean = {name: (cuts[0][name] + cuts[1][name]) / 2 for name in whole}
    torch.testing.assert_close(mean["mse"], whole["mse"])
    assert mean["sparsity_penalty"] > whole["sparsity_penalty"]  # it is convex in the means


def test_training_makes_units_as_active_as_asked() -> None:
    batch = Batch(images(32))
    for rho in (0.1, 0.4):
        model = build(SparseAutoencoder, sparsity=rho, sparsity_weight=10.0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            objective(model, batch).backward()
            optimizer.step()
        means = model.encode(batch.x).mean(0)
        torch.testing.assert_close(means, torch.full((6,), rho), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"sparsity": 0.0, "sparsity_weight": 1.0}, r"sparsity must be in \(0, 1\), got 0\.0; "),
        ({"sparsity": 1, "sparsity_weight": 1.0}, r"sparsity must be in \(0, 1\), got 1; "),
        ({"sparsity": 0.1, "sparsity_weight": -2}, r"sparsity_weight must be at least 0, got -2; "),
    ],
)
def test_sparse_refuses(own: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(SparseAutoencoder, **own)


# k-sparse


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_k_largest_by_value_are_kept(k: int) -> None:
    code = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    kept = largest_units(code, k)
    for row, whole in zip(kept.tolist(), code.tolist(), strict=True):
        largest = sorted(whole)[-k:]
        assert row == [value if value in largest else 0.0 for value in whole]
    assert torch.equal(largest_units(code, 5), code)


def test_by_value_is_not_by_magnitude() -> None:
    code = torch.tensor([[-9.0, 1.0, 2.0, -3.0]])
    assert largest_units(code, 2).tolist() == [[0.0, 1.0, 2.0, 0.0]]


def test_ties_keep_no_more_than_k() -> None:
    assert (largest_units(torch.ones(3, 8), 2) != 0).sum(1).tolist() == [2, 2, 2]


def test_gradients_pass_through_kept_units_alone() -> None:
    model = build(KSparseAutoencoder, k=2, alpha=1.0)
    dense = []
    model.encoder.register_forward_hook(
        lambda *call: call[2].retain_grad() or dense.append(call[2])
    )
    objective(model, Batch(images(5))).backward()
    kept = largest_units(dense[0], 2) != 0
    assert kept.sum(1).tolist() == [2] * 5
    assert torch.equal(dense[0].grad != 0, kept)


def test_with_all_units_it_is_the_plain_autoencoder_to_the_bit() -> None:
    batch = Batch(images(5))
    plain = objective(build(Autoencoder), batch)
    assert torch.equal(objective(build(KSparseAutoencoder, k=6, alpha=1.0), batch), plain)
    assert not torch.equal(objective(build(KSparseAutoencoder, k=5, alpha=1.0), batch), plain)


@pytest.mark.parametrize(("alpha", "kept"), [(1.0, 2), (1.4, 3), (1.5, 3), (3.0, 6)])
def test_evaluation_keeps_alpha_times_as_many(alpha: float, kept: int) -> None:
    model, batch = build(KSparseAutoencoder, k=2, alpha=alpha), Batch(images(5))
    assert (model.encode(batch.x) != 0).sum(1).tolist() == [2] * 5
    trained = objective(model, batch)
    model.eval()
    assert (model.encode(batch.x) != 0).sum(1).tolist() == [kept] * 5
    error = (model.reconstruct(batch.x) - batch.x).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(objective(model, batch), error)
    assert torch.equal(trained, error) == (alpha == 1)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"k": 7, "alpha": 1.0}, "k must be from 1 to latent_dim=6, got 7; lower k"),
        ({"k": 0, "alpha": 1.0}, "k must be from 1 to latent_dim=6, got 0; "),
        ({"k": 2, "alpha": 0.5}, r"alpha must be at least 1, got 0\.5; 1 keeps k units"),
        ({"k": 4, "alpha": 2.0}, r"latent_dim=6 units .*, got 2\.0, which keeps 8 with k=4; lower"),
    ],
)
def test_k_sparse_refuses(own: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(KSparseAutoencoder, **own)
