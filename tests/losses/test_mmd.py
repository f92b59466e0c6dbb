"""The discrepancy against a double loop, a closed form and chance; InfoVAE's ends."""

from __future__ import annotations

import math

import pytest
import torch
from drawn_outputs import drawn_outputs, elbo_terms, normal

from ganvas.losses.mmd import InfoLoss, InverseMultiquadraticKernel, Kernel, RBFKernel, mmd

SCALES = [0.1, 0.5, 1.0, 5.0]
KERNELS: list[Kernel] = [
    RBFKernel(bandwidth=1.0),
    RBFKernel(bandwidth=0.4),
    InverseMultiquadraticKernel(bandwidth=1.0, scales=SCALES),
    InverseMultiquadraticKernel(bandwidth=2.0, scales=[1.0]),
]
kernels = pytest.mark.parametrize("kernel", KERNELS, ids=["rbf", "rbf_0.4", "imq", "imq_2"])


def written_out(kernel: Kernel, x: list[float], y: list[float]) -> float:
    """k(x, y) of two codes as the papers write it."""
    squared = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    c = 2 * len(x) * kernel.bandwidth**2
    if isinstance(kernel, InverseMultiquadraticKernel):
        return sum(s * c / (s * c + squared) for s in kernel.scales)
    return math.exp(-squared / c)


@kernels
@pytest.mark.parametrize("unbiased", [True, False])
def test_it_is_a_double_loop(kernel: Kernel, unbiased: bool) -> None:
    x, y = normal(5, 3, seed=0), normal(4, 3, seed=1) + 0.5
    expected = 0.0
    for a in (x.tolist(), y.tolist()):
        pairs = [(i, j) for i in range(len(a)) for j in range(len(a)) if i != j or not unbiased]
        expected += sum(written_out(kernel, a[i], a[j]) for i, j in pairs) / len(pairs)
    cross = [written_out(kernel, a, b) for a in x.tolist() for b in y.tolist()]
    expected -= 2 * sum(cross) / len(cross)
    got = mmd(x, y, kernel, unbiased=unbiased)
    assert got.shape == ()
    assert got.item() == pytest.approx(expected, rel=1e-12)


@kernels
def test_biased_it_is_zero_for_equal_samples_and_grows_with_a_shift(kernel: Kernel) -> None:
    x = normal(50, 3, seed=0)
    values = [mmd(x, x + shift, kernel, unbiased=False).item() for shift in (0.0, 0.2, 0.5, 1.0)]
    assert values[0] == pytest.approx(0.0, abs=1e-12)
    assert 1e-6 < values[1] < values[2] < values[3]
    assert mmd(x, normal(20, 3, seed=1), kernel, unbiased=False) > 0


@kernels
def test_unbiased_its_mean_is_zero_for_equal_distributions_and_not_for_others(
    kernel: Kernel,
) -> None:
    draws = normal(400, 2, 16, 3, seed=0)
    for shift, scale, equal in ((0.0, 1.0, True), (0.7, 1.0, False), (0.0, 0.4, False)):
        values = torch.stack([mmd(x, scale * y + shift, kernel) for x, y in draws])
        error = values.std() / len(values) ** 0.5
        assert (values.mean().abs() < 4 * error) == equal
        biased = torch.stack([mmd(x, y, kernel, unbiased=False) for x, y in draws[:100]])
        assert biased.min() > 0  # of the same distribution: its bias


def test_it_is_the_closed_form_of_two_gaussians() -> None:
    """x − y ~ N(d, v) in each coordinate: E k = Π (C / (C + 2v))^½ · exp(−d² / (C + 2v))."""
    width, shift, scale = 2, 0.8, 0.5
    c = 2.0 * width

    def mean_kernel(variances: float, distance: float) -> float:
        spread = c + 2 * variances
        return ((c / spread) ** 0.5 * math.exp(-(distance**2) / spread)) ** width

    expected = mean_kernel(2.0, 0.0) + mean_kernel(2 * scale**2, 0.0)
    expected -= 2 * mean_kernel(1.0 + scale**2, shift)
    draws = normal(400, 2, 32, width, seed=0)
    kernel = RBFKernel(bandwidth=1.0)
    values = torch.stack([mmd(x, shift + scale * y, kernel) for x, y in draws])
    error = (values.std() / len(values) ** 0.5).item()
    assert values.mean().item() == pytest.approx(expected, abs=4 * error)
    assert error < 0.006
    assert expected > 0.1


@kernels
def test_kernels_are_positive_definite_and_know_distances_at_any_width(kernel: Kernel) -> None:
    x = normal(12, 3, seed=0)
    assert torch.linalg.eigvalsh(kernel(x, x)).min() > -1e-12
    peak = len(kernel.scales) if isinstance(kernel, InverseMultiquadraticKernel) else 1.0
    torch.testing.assert_close(kernel(x, x).diagonal(), torch.full((12,), peak).double())
    wide = torch.cat([x, x, x, x], dim=1)  # four times the distance, four times the width
    torch.testing.assert_close(kernel(wide, wide), kernel(x, x))


@kernels
def test_its_gradient_moves_codes_to_the_prior(kernel: Kernel) -> None:
    x = (normal(64, 2, seed=0) + 2.0).requires_grad_()
    mmd(x, normal(64, 2, seed=1), kernel).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()  # equal codes, too, have distance 0
    assert (x.grad.mean(0) > 0).all()


@kernels
def test_a_single_code_stays_finite(kernel: Kernel) -> None:
    x, y = normal(1, 3, seed=0), normal(1, 3, seed=1)
    torch.testing.assert_close(mmd(x, y, kernel), -2 * kernel(x, y)[0, 0])


def info(alpha: float, lambda_prior: float) -> InfoLoss:
    return InfoLoss(alpha=alpha, lambda_prior=lambda_prior, kernel=KERNELS[0])


def test_alpha_zero_and_lambda_one_is_the_elbo_to_the_bit() -> None:
    outputs = drawn_outputs(dtype=torch.float32)
    got, plain = info(0.0, 1.0)(outputs, step=0), elbo_terms(outputs)
    assert torch.equal(got.total, plain.total)
    assert got.parts["mmd"] != 0
    assert not torch.equal(info(0.0, 1.5)(outputs, step=0).total, plain.total)


@pytest.mark.parametrize(("alpha", "lambda_prior"), [(0.0, 10.0), (1.0, 3.0), (0.5, 2.0), (-1, 5)])
def test_it_is_equation_6(alpha: float, lambda_prior: float) -> None:
    outputs = drawn_outputs()
    got = info(alpha, lambda_prior)(outputs, step=0)
    distance = mmd(outputs.z, outputs.draw_prior(), KERNELS[0])
    torch.testing.assert_close(got.parts["mmd"], distance)
    expected = got.parts["distortion"] + (1 - alpha) * got.parts["rate"]
    torch.testing.assert_close(got.total, expected + (alpha + lambda_prior - 1) * distance)
    plain = elbo_terms(outputs).parts
    assert torch.equal(got.parts["elbo"], plain["elbo"])


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="bandwidth must be positive, got 0"):
        RBFKernel(bandwidth=0)
    for scales in ([], [1.0, -1.0], [0.0]):
        with pytest.raises(ValueError, match=r"scales must be positive numbers, got \["):
            InverseMultiquadraticKernel(bandwidth=1.0, scales=scales)
    with pytest.raises(ValueError, match="alpha must be at most 1, got 2; 1 leaves the KL"):
        info(2, 1.0)
    with pytest.raises(ValueError, match=r"lambda_prior must be at least 1 - alpha = 0.5, got 0.2"):
        info(0.5, 0.2)
    with pytest.raises(ValueError, match=r"kernel must name a kernel by _target_, .*got 'rbf'"):
        InfoLoss(alpha=0.0, lambda_prior=1.0, kernel="rbf")
