"""PCA: the same subspace and error as a reference's, whatever the batches, epochs and ranks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as Reference  # noqa: N811
from tiny import Batches, fit
from torch import nn

from ganvas.models.autoencoder import pca as module_of_pca
from ganvas.models.autoencoder.pca import PCA
from ganvas.types import Batch

SHAPE = (1, 4, 5)
PIXELS = 20


def images(num: int = 60) -> torch.Tensor:
    """Correlated pixels with well separated variances, in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    scales = 0.7 ** torch.arange(PIXELS, dtype=torch.float64)
    mixing, _ = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=generator).double())
    x = (torch.randn(num, PIXELS, generator=generator).double() * scales) @ mixing
    return ((x - x.min()) / (x.max() - x.min())).view(num, *SHAPE)


def batches(x: torch.Tensor, size: int) -> Batches:
    return Batches([Batch(x[i : i + size], start=i) for i in range(0, len(x), size)])


def fitted(
    x: torch.Tensor, *, latent_dim: int = 4, size: int = 10, epochs: int = 1, **trainer: Any
) -> PCA:
    made = PCA(image_shape=SHAPE, latent_dim=latent_dim, num_train=len(x))
    fit(made, batches(x, size), epochs=epochs, **trainer)
    made.solve()
    return made.eval()


def mse(made: PCA, x: torch.Tensor) -> float:
    return made.evaluation_parts(Batch(x))["mse"].item()


@pytest.mark.parametrize("latent_dim", [1, 4, PIXELS])
def test_it_equals_the_reference(latent_dim: int) -> None:
    x = images()
    made, flat = fitted(x, latent_dim=latent_dim), x.flatten(1).numpy()
    reference = Reference(latent_dim, svd_solver="full").fit(flat)
    rebuilt = reference.inverse_transform(reference.transform(flat))
    assert mse(made, x) == pytest.approx(np.square(rebuilt - flat).sum(1).mean(), abs=1e-10)
    np.testing.assert_allclose(made.mean, reference.mean_, atol=1e-12)
    ours, theirs = made.components.numpy(), reference.components_
    np.testing.assert_allclose(ours.T @ ours, theirs.T @ theirs, atol=1e-8)
    np.testing.assert_allclose(np.abs((ours * theirs).sum(1)), 1, atol=1e-8)
    codes = made.encode(x).numpy()
    np.testing.assert_allclose(np.abs(codes), np.abs(reference.transform(flat)), atol=1e-8)


def test_components_are_orthonormal_ordered_and_of_fixed_sign() -> None:
    x = images()
    made = fitted(x, latent_dim=8)
    gram = made.components @ made.components.T
    torch.testing.assert_close(gram, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-12)
    variances = made.encode(x).var(0)
    assert (variances.diff() < 0).all()
    largest = made.components.gather(1, made.components.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_other_directions_are_worse() -> None:
    x = images()
    made = fitted(x)
    best = mse(made, x)
    made.components.copy_(torch.linalg.qr(torch.randn(PIXELS, 4).double())[0].T)
    assert mse(made, x) > 1.5 * best


def test_neither_the_cut_into_batches_nor_more_epochs_matter() -> None:
    x = images()
    once = fitted(x)
    for other in (fitted(x, size=5), fitted(x, size=60)):
        torch.testing.assert_close(other.components, once.components, rtol=0, atol=1e-9)
    assert torch.equal(fitted(x, epochs=3).components, once.components)
    assert fitted(x, epochs=3).step == 18
    assert once.count == 60


def test_a_part_of_an_epoch_counts_as_far_as_it_went() -> None:
    x = images()
    part = PCA(image_shape=SHAPE, latent_dim=4, num_train=60)
    fit(part, batches(x, 10), max_steps=3)
    assert part.count == 30
    assert part.solved_count == 0  # nothing was asked for
    part.encode(x)
    torch.testing.assert_close(part.mean, x[:30].flatten(1).mean(0))


def test_the_saved_state_is_solved_and_sums_go_on_from_it() -> None:
    x = images()
    whole, part = fitted(x), fitted(x, max_steps=3)
    state = {name: value.clone() for name, value in part.state_dict().items()}
    assert state["components"].abs().sum() > 0
    resumed = PCA(image_shape=SHAPE, latent_dim=4, num_train=60)
    resumed.load_state_dict(state)
    resumed.counters["step"] = 3

    class Rest(Batches):
        def __iter__(self) -> Any:
            return iter(self.batches[resumed.step :])

    fit(resumed, Rest(batches(x, 10).batches))
    after = resumed.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in whole.state_dict().items())


def test_weights_taken_over_are_fitted_anew() -> None:
    x = images()
    made = PCA(image_shape=SHAPE, latent_dim=4, num_train=60)
    made.load_state_dict(fitted(x.flip(0).square()).state_dict())
    fit(made, batches(x, 10))
    assert made.count == 60
    assert torch.equal(made.state_dict()["components"], fitted(x).state_dict()["components"])


def test_two_ranks_sum_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank with half of each batch, told the other half, sums what one rank sums."""
    x = images()
    whole = fitted(x).state_dict()
    halves = iter([x[i : i + 10] for i in range(0, 60, 10)])
    monkeypatch.setattr(module_of_pca, "gathered", lambda mine: next(halves))
    mine = Batches([Batch(x[i : i + 5], start=i, total=10) for i in range(0, 60, 10)])
    rank = PCA(image_shape=SHAPE, latent_dim=4, num_train=60)
    fit(rank, mine)
    got = rank.state_dict()
    assert all(torch.equal(value, got[name]) for name, value in whole.items())


def test_codes_and_images_are_linear_and_not_clamped() -> None:
    x = images()
    made = fitted(x)
    z = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(made.encode(made.decode(z)), z)
    middle = made.decode(torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(middle[0], x.mean(0))
    torch.testing.assert_close(made.decode(3 * z) - middle, 3 * (made.decode(z) - middle))
    assert made.decode(50 * z).min() < 0
    assert made.decode(z.float()).dtype == torch.float32


def test_variance_is_what_the_mean_leaves() -> None:
    x = images()
    made = fitted(x, latent_dim=PIXELS)
    parts = made.evaluation_parts(Batch(x))
    wanted = x.flatten(1).var(0, correction=0).sum()
    torch.testing.assert_close(parts["variance"], wanted)
    torch.testing.assert_close(made.last_parts["variance"], wanted)
    assert parts["mse"] < 1e-20


def test_a_linear_autoencoder_comes_close_from_above() -> None:
    x = images()
    best = mse(fitted(x), x)
    torch.manual_seed(0)
    flat = x.flatten(1)
    net = nn.Sequential(nn.Linear(PIXELS, 4), nn.Linear(4, PIXELS)).double()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def error() -> torch.Tensor:
        return (net(flat) - flat).square().sum(1).mean()

    def closure() -> float:
        optimizer.zero_grad()
        loss = error()
        loss.backward()
        return loss.item()

    before = error().item()
    optimizer.step(closure)
    assert before > 5 * best
    assert best - 1e-12 < error().item() < 1.03 * best


def test_too_many_pixels_or_components_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 4096 values, got 12288; set dataset.image_size"):
        PCA(image_shape=(3, 64, 64), latent_dim=2, num_train=100)
    for shape, num, limit in (((1, 4, 4), 100, 16), ((1, 8, 8), 30, 30)):
        PCA(image_shape=shape, latent_dim=limit, num_train=num)
        with pytest.raises(ValueError, match=f"latent_dim must be at most {limit}, the smaller of"):
            PCA(image_shape=shape, latent_dim=limit + 1, num_train=num)
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        PCA(image_shape=SHAPE, latent_dim=0, num_train=10)


def test_it_has_nothing_to_train_and_is_built_without_memory() -> None:
    with torch.device("meta"):
        made = PCA(image_shape=SHAPE, latent_dim=4, num_train=60)
        parts = made.training_parts(Batch(torch.empty(2, *SHAPE)))
    assert list(made.parameters()) == []
    assert made.optimizer_names == []
    assert dict(made.networks()) == {}
    assert set(parts) == {"loss", "mse", "variance"}
    assert math.prod(made.products.shape) == PIXELS**2
