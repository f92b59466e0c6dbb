"""The Fréchet distance against closed forms, and what it must not depend on."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from ganvas.metrics.frechet import FrechetDistance, frechet_distance, gaussian

SHAPE = (1, 2, 3)
WIDTH = 6


def metric(*, keep_real: bool = False) -> FrechetDistance:
    """In the plain pixels, times 255 for round numbers."""
    scaled = nn.Sequential(nn.Flatten(), Scale())
    return FrechetDistance(features=scaled, num_features=WIDTH, keep_real=keep_real)


class Scale(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 255


def images(num: int, *, seed: int = 0, mean: float = 100.0) -> Tensor:
    """Pixels that depend on each other, uint8."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator)
    values = 12 * torch.randn(num, WIDTH, generator=generator) @ mixing + mean
    return values.round().clamp(0, 255).byte().view(num, *SHAPE)


def filled(real: Tensor, fake: Tensor, *, batch: int = 1000) -> FrechetDistance:
    one = metric()
    for part in real.split(batch):
        one.update(part, real=True)
    for part in fake.split(batch):
        one.update(part, real=False)
    return one


def reference(real: Tensor, fake: Tensor) -> float:
    """Heusel et al.'s own formula, with the square root of the product that is not symmetric."""
    a, b = real.flatten(1).double(), fake.flatten(1).double()
    first, second = torch.cov(a.T).numpy(), torch.cov(b.T).numpy()
    cross = sqrtm(first @ second).trace().real
    return float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace()) - (
        2 * float(cross)
    )


def positive_definite(width: int, *, seed: int) -> Tensor:
    factor = torch.randn(
        width, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return factor @ factor.T + 0.1 * torch.eye(width, dtype=torch.float64)


def test_commuting_covariances_have_a_closed_form() -> None:
    one = torch.tensor([4.0, 9.0, 0.0], dtype=torch.float64)
    other = torch.tensor([1.0, 16.0, 25.0], dtype=torch.float64)
    rotation = torch.linalg.qr(positive_definite(3, seed=1)).Q
    mu1 = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    mu2 = torch.tensor([1.0, 0.0, 6.0], dtype=torch.float64)
    found = frechet_distance(
        mu1, rotation @ one.diag() @ rotation.T, mu2, rotation @ other.diag() @ rotation.T
    )
    # (2 − 1)² + (3 − 4)² + (0 − 5)², and 0² + 2² + 3² of the means
    torch.testing.assert_close(found.item(), 1.0 + 1.0 + 25.0 + 13.0, rtol=1e-9, atol=0)


@pytest.mark.parametrize("width", [2, 5, 16])
def test_other_covariances_agree_with_the_root_of_their_product(width: int) -> None:
    one, other = positive_definite(width, seed=1), positive_definite(width, seed=2)
    assert (one @ other - other @ one).abs().max() > 0.1
    zero = torch.zeros(width, dtype=torch.float64)
    expected = one.trace() + other.trace() - 2 * sqrtm((one @ other).numpy()).trace().real
    torch.testing.assert_close(
        frechet_distance(zero, one, zero, other), expected, rtol=1e-9, atol=1e-9
    )


def test_images_agree_with_the_reference() -> None:
    real, fake = images(300), images(200, seed=3, mean=110)
    expected = reference(real, fake)
    assert expected > 100
    torch.testing.assert_close(filled(real, fake).compute().item(), expected, rtol=1e-6, atol=0)


def test_covariances_are_unbiased() -> None:
    x = images(7).flatten(1).double()
    mean, covariance = gaussian(x.sum(0), x.T @ x, 7, name="real")
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(covariance, torch.cov(x.T))


def test_a_set_has_no_distance_to_itself() -> None:
    assert filled(images(200), images(200)).compute().item() < 1e-4
    few = images(4)  # fewer images than features: singular covariances
    assert filled(few, few).compute().item() < 1e-4


def test_a_shift_alone_costs_its_square() -> None:
    real = images(200).clamp(20, 200)
    found = filled(real, real + 10).compute().item()
    torch.testing.assert_close(found, WIDTH * 100.0, rtol=1e-6, atol=0)


def test_neither_batches_nor_order_nor_sides_matter() -> None:
    real, fake = images(250), images(250, seed=3)
    expected = filled(real, fake).compute()
    order = torch.randperm(250, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(filled(real, fake, batch=7).compute(), expected)
    torch.testing.assert_close(filled(real[order], fake, batch=60).compute(), expected)
    torch.testing.assert_close(filled(fake, real).compute(), expected)


def test_sums_are_exact_where_single_precision_is_not() -> None:
    # a mean of 2 · 10⁵ standard deviations: in float32 nothing of the covariance would be left
    one = FrechetDistance(features=nn.Sequential(nn.Flatten(), Far()), num_features=WIDTH)
    real, fake = images(200), images(200, seed=3)
    one.update(real, real=True)
    one.update(fake, real=False)
    torch.testing.assert_close(one.compute().item(), reference(real, fake), rtol=1e-4, atol=0)


class Far(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).round() + 2.0**22


def test_reset_forgets() -> None:
    one = filled(images(50, seed=5), images(50, seed=6))
    one.reset()
    real, fake = images(100), images(100, seed=3)
    one.update(real, real=True)
    one.update(fake, real=False)
    torch.testing.assert_close(one.compute(), filled(real, fake).compute())


def test_reset_can_leave_the_real_images_in() -> None:
    one, real = metric(keep_real=True), images(100)
    one.update(real, real=True)
    for seed in (3, 4):
        fake = images(100, seed=seed)
        one.update(fake, real=False)
        torch.testing.assert_close(one.compute(), filled(real, fake).compute())
        one.reset()


@pytest.mark.parametrize(("num", "side"), [((1, 5), "real"), ((5, 1), "fake")])
def test_fewer_than_two_images_are_refused(num: tuple[int, int], side: str) -> None:
    one = filled(images(num[0]), images(num[1]))
    with pytest.raises(ValueError, match=f"needs at least 2 {side} images, got 1"):
        one.compute()


def test_float_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images must be uint8, 0 to 255, got torch.float32"):
        metric().update(torch.rand(3, *SHAPE), real=True)
