"""The Fréchet distance against closed forms, and what it must not depend on."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

from ganvas.metrics.frechet import FrechetDistance, Moments, frechet_distance, moments_distance


def distance(real: Tensor, fake: Tensor) -> float:
    return moments_distance(Moments.of(real), Moments.of(fake)).item()


def normal(num: int, width: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, width, generator=generator, dtype=torch.float64)


def mixed(num: int, width: int, *, seed: int) -> Tensor:
    """Features that depend on each other."""
    return normal(num, width, seed=seed) @ normal(width, width, seed=seed + 100) + seed


def positive_definite(width: int, *, seed: int) -> Tensor:
    factor = normal(width, width, seed=seed)
    return factor @ factor.T + 0.1 * torch.eye(width, dtype=torch.float64)


# The formula


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
    torch.testing.assert_close(found.item(), 1.0 + 1.0 + 25.0 + 13.0, rtol=1e-8, atol=0)
    regular = one + 1  # no root of a zero: all digits
    found = frechet_distance(mu1, regular.diag(), mu2, other.diag())
    expected = (regular.sqrt() - other.sqrt()).square().sum().item() + 13.0
    torch.testing.assert_close(found.item(), expected, rtol=1e-10, atol=0)


def test_any_two_covariances_of_the_plane_have_a_closed_form() -> None:
    one, other = positive_definite(2, seed=1), positive_definite(2, seed=2)
    zero = torch.zeros(2, dtype=torch.float64)
    # of a 2 × 2 matrix M, tr √M = √(tr M + 2 √det M)
    cross = ((one @ other).trace() + 2 * (one.det() * other.det()).sqrt()).sqrt()
    expected = (one.trace() + other.trace() - 2 * cross).item()
    torch.testing.assert_close(
        frechet_distance(zero, one, zero, other).item(), expected, rtol=1e-10, atol=0
    )


def four_ways(one: Tensor, other: Tensor) -> list[float]:
    """tr √(Σ₁ Σ₂) by eigh, by eigenvalues of the product, by SciPy, and ours."""
    values, vectors = torch.linalg.eigh(one)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    under = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0)
    zero = torch.zeros(len(one), dtype=torch.float64)
    spread = one.trace() + other.trace()
    return [
        under.sqrt().sum().item(),
        torch.linalg.eigvals(one @ other).sqrt().real.sum().item(),
        float(sqrtm((one @ other).numpy()).trace().real),
        (spread - frechet_distance(zero, one, zero, other)).item() / 2,
    ]


@pytest.mark.parametrize("width", [2, 5, 16, 64])
def test_all_formulas_agree(width: int) -> None:
    one, other = positive_definite(width, seed=1), positive_definite(width, seed=2)
    assert (one @ other - other @ one).abs().max() > 0.1
    found = four_ways(one, other)
    assert found == pytest.approx([found[0]] * 4, rel=1e-9)


@pytest.mark.filterwarnings("ignore:Matrix is")  # what SciPy says of singular ones
@pytest.mark.parametrize("singular", [(True, False), (False, True), (True, True)])
def test_all_formulas_agree_where_covariances_are_singular(singular: tuple[bool, bool]) -> None:
    one, other = (
        torch.cov(mixed(12 if few else 60, 16, seed=seed).T) for seed, few in enumerate(singular)
    )
    dead = torch.ones(16, dtype=torch.float64)
    dead[3] = 0  # and a feature that is always the same
    found = four_ways(one * dead * dead[:, None], other)
    assert found == pytest.approx([found[0]] * 4, rel=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("num", [300, 40])
def test_other_libraries_agree_on_the_same_features(num: int) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    real, fake = mixed(300, 64, seed=1), mixed(num, 64, seed=2)
    found = distance(real, fake)
    moments = [f(x) for x in (real, fake) for f in (lambda x: x.mean(0), lambda x: torch.cov(x.T))]
    torch.testing.assert_close(_compute_fid(*moments).item(), found, rtol=1e-6, atol=0)
    statistics = [fid_features_to_statistics(x) for x in (real, fake)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    torch.testing.assert_close(theirs, found, rtol=1e-6, atol=0)


# Its laws


@pytest.mark.parametrize("dead", [0, 3])
def test_the_bias_of_equal_gaussians(dead: int) -> None:
    # E[FD] = [d + d (d + 1) / 4] (1/N₁ + 1/N₂) to first order; dead features: no Cholesky factor
    d, num1, num2, found = 32, 4000, 6000, []
    for seed in range(20):
        pair = normal(num1, d, seed=2 * seed), normal(num2, d, seed=2 * seed + 1)
        found.append(distance(*(nn.functional.pad(x, (0, dead)) for x in pair)))
    expected = (d + d * (d + 1) / 4) * (1 / num1 + 1 / num2)
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("num", [300, 20])
def test_rotation_shift_and_scale(num: int) -> None:
    real, fake = mixed(300, 32, seed=1), mixed(num, 32, seed=2)
    expected = distance(real, fake)
    rotation = torch.linalg.qr(normal(32, 32, seed=3)).Q
    assert distance(real @ rotation, fake @ rotation) == pytest.approx(expected, rel=1e-10)
    assert distance(3 * real, 3 * fake) == pytest.approx(9 * expected, rel=1e-10)
    assert distance(real + 1e4, fake + 1e4) == pytest.approx(expected, rel=1e-10)
    assert distance(fake, real) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("num", [200, 20])
def test_means_far_from_zero_cost_no_digits(num: int) -> None:
    # whole numbers, so that float32 holds them as well 10⁴ and 2²⁰ away from zero
    real, fake = (mixed(n, 32, seed=s).round().float() for s, n in ((1, 200), (2, num)))
    one = FrechetDistance()
    for offset in (0, 1e4, 2**20):
        one.reset()
        for x, is_real in ((real, True), (fake, False)):
            for part in x.split(30):
                one.update(part + offset, real=is_real)
        found = one.compute().item()
        assert found == pytest.approx(distance(real, fake), rel=1e-10)


@pytest.mark.parametrize(("real", "fake"), [(20, 20), (20, 300), (300, 20), (32, 33), (2, 2)])
def test_few_images_take_a_shorter_way_to_the_same_value(real: int, fake: int) -> None:
    one, other = (Moments.of(mixed(n, 32, seed=n)) for n in (real, fake + 1))
    assert (one.root is not None) is (real <= 32)
    found = moments_distance(one, other).item()
    long_way = frechet_distance(one.mean, one.covariance, other.mean, other.covariance)
    assert found == pytest.approx(long_way.item(), rel=1e-7)


def test_low_rank_is_never_below_zero() -> None:
    """20 directions of 256: rounding leaves eigenvalues about zero, whose roots add up."""
    real, fake = (normal(600, 20, seed=s) @ normal(20, 256, seed=9) for s in (1, 2))
    assert 0 <= distance(real, real) < 1e-6 * torch.cov(real.T).trace()
    roots = [(x - x.mean(0)).T / 599**0.5 for x in (real, fake)]
    overlap = torch.linalg.svdvals(roots[0].T @ roots[1])[:20].sum()
    spread = sum(root.square().sum() for root in roots)
    expected = (real.mean(0) - fake.mean(0)).square().sum() + spread - 2 * overlap
    assert distance(real, fake) == pytest.approx(expected.item(), abs=1e-6 * float(spread))


def test_any_root_serves() -> None:
    real, fake = Moments.of(mixed(300, 32, seed=1)), Moments.of(mixed(200, 32, seed=2))
    values, vectors = torch.linalg.eigh(real.covariance)
    symmetric = (vectors * values.sqrt()) @ vectors.T
    expected = moments_distance(real, fake).item()
    for root in (real.with_root().root, symmetric):
        given = Moments(300, real.mean, real.covariance, root)
        assert moments_distance(given, fake).item() == pytest.approx(expected, rel=1e-10)


def test_bad_features_are_refused() -> None:
    with pytest.raises(ValueError, match="features must be finite, got 1 NaN or infinite values"):
        Moments.of(torch.tensor([[1.0, 2.0], [torch.inf, 0.0]]))
    with pytest.raises(ValueError, match="features must be of one width, got 3 of real and 4 of"):
        distance(normal(5, 3, seed=0), normal(5, 4, seed=0))
