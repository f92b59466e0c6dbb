"""Principal components, and the mass within contours of priors in the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.decomposition import PCA
from torch import Tensor

from ganvas.evaluation.mixture import Mixture
from ganvas.latent.plane import (
    RADII,
    SHARES,
    drawn_shadow,
    normal_shadow,
    principal,
    projected,
    unchanged,
)


def normal(num: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double()


# Principal components


def test_components_of_a_known_covariance() -> None:
    """Codes ± s_j e_j in rotated axes have the covariance Σ_j s_j² r_j r_jᵀ / 3 exactly."""
    rotation = torch.linalg.qr(normal(3, 3)).Q
    scales = torch.tensor([1.0, 3.0, 2.0]).double()
    half = scales[:, None] * rotation.T
    found = principal(torch.cat([half, -half]) + 5)
    for row, axis in zip(found.rows, (rotation[:, 1], rotation[:, 2]), strict=True):
        assert abs(float(row @ axis)) == pytest.approx(1)
        assert row[row.abs().argmax()] > 0
    torch.testing.assert_close(found.center, torch.full((3,), 5.0).double())
    assert found.explained is not None
    torch.testing.assert_close(found.explained, torch.tensor([9 / 14, 4 / 14]).double())


def test_components_are_those_of_scikit_learn() -> None:
    z = normal(200, 6) @ normal(6, 6, seed=1)
    found, theirs = principal(z), PCA(2).fit(z.numpy())
    points = torch.from_numpy(theirs.transform(z.numpy()))
    signs = (found(z) * points).sum(0).sign()
    torch.testing.assert_close(found(z), points * signs)
    np.testing.assert_allclose(found.explained, theirs.explained_variance_ratio_)


def test_equal_codes_have_no_components() -> None:
    with pytest.raises(ValueError, match=r"^codes must differ, got the same for all images"):
        principal(torch.ones(5, 3))


# The prior in the plane


def test_circles_hold_their_shares_of_a_normal_prior() -> None:
    assert [round(share, 3) for share in SHARES] == [0.393, 0.865, 0.989]
    np.testing.assert_allclose(SHARES, chi2(2).cdf(np.square(RADII)))
    inside = normal_shadow(unchanged()).inside(normal(40_000, 2))
    np.testing.assert_allclose(inside, SHARES, atol=0.01)


def test_a_normal_prior_is_projected_to_one_around_minus_the_mean() -> None:
    projection = principal(normal(300, 5) * torch.arange(1, 6) + 0.5)
    shadow = normal_shadow(projection)
    mean = -(projection.rows @ projection.center)
    torch.testing.assert_close(shadow.extent, torch.stack([mean - 3, mean + 3]))
    assert float(shadow.log_density(mean[None])) == pytest.approx(-math.log(2 * math.pi))
    angle = torch.tensor([0.3, 2.0]).double()
    circle = mean + 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(
        shadow.log_density(circle), torch.full((2,), shadow.levels[1]).double()
    )
    np.testing.assert_allclose(shadow.inside(projection(normal(40_000, 5))), SHARES, atol=0.01)


def test_levels_from_draws_are_those_in_closed_form() -> None:
    exact = normal_shadow(unchanged())
    found = drawn_shadow("prior", exact.log_density, normal(20_000, 2))
    for level, closed, within in zip(found.levels, exact.levels, (0.03, 0.08, 0.3), strict=True):
        assert level == pytest.approx(closed, abs=within)
    np.testing.assert_allclose(found.inside(normal(20_000, 2, seed=1)), SHARES, atol=0.01)
    torch.testing.assert_close(found.extent, exact.extent, atol=0.3, rtol=0)


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_mixture_is_projected(diagonal: bool) -> None:
    """One Gaussian N(μ, L Lᵀ): its projection has the mean A(μ − c) and covariance A L Lᵀ Aᵀ."""
    projection = principal(normal(100, 4) * torch.arange(1, 5) + 1)
    root = torch.tensor([1.0, 0.5, 2.0, 0.3]).double()
    full = torch.diag(root) if diagonal else torch.tril(normal(4, 4)) + 2 * torch.eye(4)
    mean = normal(1, 4, seed=3)
    mixture = Mixture(torch.ones(1).double(), mean, (root if diagonal else full)[None])
    found = projected(mixture, projection)
    rows = projection.rows
    expected = torch.distributions.MultivariateNormal(
        rows @ (mean[0] - projection.center), rows @ full @ full.T @ rows.T
    )
    points = normal(20, 2, seed=4)
    torch.testing.assert_close(found.log_prob(points), expected.log_prob(points))
