"""The Fréchet distance as a metric of images: batches, order, reset, known moments, refusals."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics import MetricCollection

from ganvas.metrics.frechet import FrechetDistance, Moments

SHAPE = (1, 2, 3)
WIDTH = 6


class Scale(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 255


def metric(**options: object) -> FrechetDistance:
    """In the plain pixels, times 255 for round numbers."""
    return FrechetDistance(features=nn.Sequential(nn.Flatten(), Scale()), **options)  # type: ignore[arg-type]


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


def test_images_agree_with_the_reference() -> None:
    real, fake = images(300), images(200, seed=3, mean=110)
    expected = reference(real, fake)
    assert expected > 100
    torch.testing.assert_close(filled(real, fake).compute().item(), expected, rtol=1e-6, atol=0)


def test_covariances_are_unbiased() -> None:
    x = images(7).flatten(1).double()
    one = metric()
    for part in x.split(2):
        one.update(part.byte().view(-1, *SHAPE), real=True)
    for found in (Moments.of(x), one.moments("real")):
        assert found.num == 7
        torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-6, atol=0)
        torch.testing.assert_close(found.covariance, torch.cov(x.T), rtol=1e-5, atol=1e-4)


def test_a_set_has_no_distance_to_itself() -> None:
    assert filled(images(200), images(200)).compute().item() < 1e-9
    few = images(4)  # fewer images than features: singular covariances
    assert filled(few, few).compute().item() < 1e-9


def test_a_shift_alone_costs_its_square() -> None:
    real = images(200).clamp(20, 200)
    found = filled(real, real + 10).compute().item()
    torch.testing.assert_close(found, WIDTH * 100.0, rtol=1e-6, atol=0)


@pytest.mark.parametrize("num", [250, 5])
def test_neither_batches_nor_order_nor_sides_matter(num: int) -> None:
    real, fake = images(num), images(num, seed=3)
    expected = filled(real, fake).compute()
    order = torch.randperm(num, generator=torch.Generator().manual_seed(0))
    exact = {"rtol": 1e-10, "atol": 1e-10}
    for batch in (1, 6, 7):
        torch.testing.assert_close(filled(real, fake, batch=batch).compute(), expected, **exact)
    torch.testing.assert_close(filled(real[order], fake, batch=60).compute(), expected, **exact)
    torch.testing.assert_close(filled(fake, real).compute(), expected, **exact)


def test_known_moments_take_the_place_of_real_images() -> None:
    real, fake = images(250), images(250, seed=3)
    known = Moments.of(real.flatten(1))
    one = metric(real=known)
    one.update(fake, real=False)
    torch.testing.assert_close(one.compute(), filled(real, fake).compute(), rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="moments of the real images were given; add fake ones"):
        one.update(real, real=True)


def test_it_stands_in_a_collection() -> None:
    both = MetricCollection({"one": metric(), "far": FrechetDistance(features=nn.Flatten())})
    for real in (True, False):
        for part in images(100, seed=3 * real).split(40):
            both.update(part, real=real)
    expected = filled(images(100, seed=3), images(100)).compute()
    torch.testing.assert_close(both.compute()["one"], expected)
    torch.testing.assert_close(both.compute()["far"], expected / 255**2, rtol=1e-5, atol=0)
    both.reset()
    with pytest.raises(ValueError, match="needs at least 2 real images, got 0"):
        metric_of(both).compute()


def metric_of(collection: MetricCollection) -> FrechetDistance:
    one = collection["one"]
    assert isinstance(one, FrechetDistance)
    one.update(images(3), real=False)
    return one


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


@pytest.mark.parametrize(("num", "side"), [((1, 5), "real"), ((5, 1), "fake"), ((5, 0), "fake")])
def test_fewer_than_two_images_are_refused(num: tuple[int, int], side: str) -> None:
    one = filled(images(num[0]), images(num[1]))
    with pytest.raises(ValueError, match=f"needs at least 2 {side} images, got {min(num)}"):
        one.compute()
