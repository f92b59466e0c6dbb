"""Truncated noise: the truncated normal's support and moments, and nothing at all for t → ∞."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganvas.nn.noise import keyed_normal, truncated


def normal(*shape: int) -> Tensor:
    return keyed_normal(shape, 0, device="cpu")


@pytest.mark.parametrize("t", [0.1, 0.5, 1.0, 2.0, 3.0])
def test_moments_are_those_of_the_truncated_normal(t: float) -> None:
    """Var = 1 − 2 t φ(t) / (2 Φ(t) − 1), mean 0; 400,000 values."""
    z = truncated(normal(400_000), t)
    assert z.dtype == torch.float32
    assert z.abs().max() <= t
    assert z.abs().max() > 0.99 * t
    density = math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * t * density / math.erf(t / math.sqrt(2))
    error = 4 * t / math.sqrt(400_000)
    assert abs(z.mean().item()) < error
    torch.testing.assert_close(z.var().item(), variance, rtol=0.01, atol=0)


def test_values_are_quantiles_of_the_distribution() -> None:
    """Its own CDF makes of them what the normal one makes of the noise."""
    n, t = normal(1000).double(), 0.7
    z = truncated(n, t)
    low, high = torch.special.ndtr(torch.tensor([-t, t], dtype=torch.double))
    torch.testing.assert_close((torch.special.ndtr(z) - low) / (high - low), torch.special.ndtr(n))


def test_order_and_sign_are_kept() -> None:
    n = normal(1000).sort().values
    z = truncated(n, 0.5)
    assert (z.diff() >= 0).all()
    assert torch.equal(z.sign(), n.sign())
    torch.testing.assert_close(truncated(-n, 0.5), -z)


@pytest.mark.parametrize("t", [9.0, 100.0])
def test_a_far_limit_changes_nothing(t: float) -> None:
    n = torch.cat([normal(100_000), torch.tensor([-7.5, 7.5, 0.0])])
    torch.testing.assert_close(truncated(n, t), n, rtol=1e-6, atol=1e-7)


def test_values_beyond_what_a_double_can_tell_stay_within() -> None:
    assert truncated(torch.tensor([-50.0, 50.0]), 0.5).tolist() == [-0.5, 0.5]
    assert truncated(torch.tensor([-50.0, 50.0]), 60.0).abs().max() <= 60


@pytest.mark.parametrize("t", [0.0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(t: float) -> None:
    with pytest.raises(ValueError, match="truncation must be positive"):
        truncated(normal(3), t)
