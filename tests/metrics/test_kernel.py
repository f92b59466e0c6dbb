"""The kernel distance against double loops and other libraries, its error against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from ganvas.metrics import kernel
from ganvas.metrics.kernel import (
    KernelDistance,
    between,
    kernel_distance,
    random_subsets,
    subset_distance,
    variance,
    within,
)


def normal(num: int, width: int = 5, *, seed: int = 0, mean: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num, width, generator=generator, dtype=torch.float64) + mean


def k(x: Tensor, y: Tensor) -> float:
    return float((x @ y / len(x) + 1) ** 3)


def double_loop(real: Tensor, fake: Tensor) -> float:
    """Bińkowski et al. 2018, eq. 4, but for unequal numbers and all pairs."""
    inside = [
        sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j)
        / (len(x) * (len(x) - 1))
        for x in (real, fake)
    ]
    across = sum(k(a, b) for a in real for b in fake) / (len(real) * len(fake))
    return sum(inside) - 2 * across


@pytest.mark.parametrize("nums", [(2, 2), (7, 8), (20, 9), (3, 15)])
def test_all_pairs_as_a_double_loop(nums: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "CHUNK", 7)
    real, fake = normal(nums[0]), normal(nums[1], seed=1, mean=0.3)
    assert kernel_distance(real, fake).value.item() == pytest.approx(double_loop(real, fake))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_other_libraries_agree_on_the_same_subsets() -> None:
    from torch_fidelity.metric_kid import kernel_mmd
    from torchmetrics.image.kid import poly_mmd

    real, fake = normal(60), normal(50, seed=1, mean=0.3)
    ours, theirs = [], []
    for i, j in random_subsets(60, 50, num=4, size=30, seed=3):
        one, other = real[i], fake[j]
        assert len(i.unique()) == len(j.unique()) == 30
        ours.append(kernel_distance(one, other).value.item())
        theirs.append(poly_mmd(one, other).item())
        arrays = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_coef0": 1}
        fidelity = kernel_mmd(one.numpy(), other.numpy(), kid_kernel_poly_gamma=None, **arrays)
        assert ours[-1] == pytest.approx(float(fidelity), rel=1e-9)
    assert ours == pytest.approx(theirs, rel=1e-9)
    found = subset_distance(real, fake, num=4, size=30, seed=3)
    exact = torch.tensor(ours, dtype=torch.float64)
    torch.testing.assert_close(found.value, exact.mean())
    torch.testing.assert_close(found.error, exact.std() / 2)
    assert subset_distance(real, fake, num=4, size=30, seed=4).value != found.value


def test_subsets_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    subset_distance(normal(9), normal(9), num=2, size=5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_the_variance_has_no_bias(apart: float) -> None:
    # all samples of two points each: expectations are sums, and nothing is left to chance
    nums = (4, 5)
    points = torch.tensor([[0.5, -1.0], [1.0, 2.0]], dtype=torch.float64)
    values, estimates, weights = [], [], []
    other = [0.7, 0.3] if apart else [0.4, 0.6]
    share = torch.tensor([[0.4, 0.6], other], dtype=torch.float64)
    for picked in itertools.product((0, 1), repeat=sum(nums)):
        i, j = torch.tensor(picked[: nums[0]]), torch.tensor(picked[nums[0] :])
        weights.append(share[0][i].prod() * share[1][j].prod())
        x, y = points[i], points[j] + apart
        values.append(kernel_distance(x, y).value)
        estimates.append(torch.stack(variance(within(x), within(y), between(x, y))))
    p, found = torch.stack(weights), torch.stack(values)
    mean = (p * found).sum()
    true = (p * (found - mean).square()).sum()
    unbiased, jackknife = (p[:, None] * torch.stack(estimates)).sum(0)
    torch.testing.assert_close(unbiased / true, torch.ones_like(true), rtol=1e-9, atol=0)
    assert true <= jackknife <= 2 * (nums[0] - 1) / (nums[0] - 2) * true


def test_the_value_has_no_bias_and_its_error_is_its_spread() -> None:
    for mean in (0.0, 0.5):
        pairs = [
            (normal(40, 3, seed=2 * s), normal(30, 3, seed=2 * s + 1, mean=mean))
            for s in range(100)
        ]
        found = [kernel_distance(*pair) for pair in pairs]
        values, errors = (torch.stack(column) for column in zip(*found, strict=True))
        # of normal x with mean μ: x·y/3 + 1 has known moments; E k = 1 + 3 E u + 3 E u² + E u³
        same, shift = moments_of_k(0, 0), moments_of_k(0, mean)
        expected = same + moments_of_k(mean, mean) - 2 * shift
        assert values.mean().item() == pytest.approx(
            expected, abs=4 * values.std().item() / 100**0.5
        )
        assert errors.square().mean().sqrt().item() == pytest.approx(values.std().item(), rel=0.25)


def moments_of_k(one: float, other: float) -> float:
    """E (x·y / 3 + 1)³ of independent x ~ N(one, I) and y ~ N(other, I) in three dimensions."""
    grid, weight = torch.tensor([-(3**0.5), 0.0, 3**0.5]), torch.tensor([1 / 6, 2 / 3, 1 / 6])
    nodes = torch.cartesian_prod(grid, grid, grid).double()  # exact up to the fifth power
    weights = torch.cartesian_prod(weight, weight, weight).double().prod(1)
    kernels = ((nodes + one) @ (nodes + other).T / 3 + 1) ** 3
    return (weights @ kernels @ weights).item()


def test_too_few_images_have_no_error() -> None:
    assert kernel_distance(normal(3), normal(9)).error.isnan()
    assert kernel_distance(normal(4), normal(9)).error > 0
    assert subset_distance(normal(4), normal(9), num=1, size=3, seed=0).error.isnan()


def test_invariances() -> None:
    real, fake = normal(20), normal(15, seed=1, mean=0.3)
    expected = torch.stack(kernel_distance(real, fake))
    rotation = torch.linalg.qr(normal(5, seed=2)).Q
    for one, other in ((fake, real), (real @ rotation, fake @ rotation), (real.flip(0), fake)):
        torch.testing.assert_close(torch.stack(kernel_distance(one, other)), expected)


def test_single_precision_is_not_summed_in() -> None:
    real, fake = normal(20, mean=30).float(), normal(15, seed=1, mean=30).float()
    found, exact = kernel_distance(real, fake), kernel_distance(real.double(), fake.double())
    torch.testing.assert_close(torch.stack(found), torch.stack(exact), rtol=1e-12, atol=0)


# As a metric of images


def images(num: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num, 1, 2, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("subsets", [None, 3])
def test_of_images(subsets: int | None) -> None:
    one = KernelDistance(features=nn.Flatten(), num_subsets=subsets, subset_size=10)
    real, fake = images(40, seed=0), images(30, seed=1)
    collection = MetricCollection([one])
    for _ in range(2):
        for part in real.split(9):
            collection.update(part, real=True)
        for part in fake.split(20):
            collection.update(part, real=False)
        x, y = real.flatten(1) / 255, fake.flatten(1) / 255
        expected = (
            kernel_distance(x, y)
            if subsets is None
            else subset_distance(x, y, num=3, size=10, seed=0)
        )
        torch.testing.assert_close(one.compute(), expected)
        collection.reset()


def test_refusals() -> None:
    with pytest.raises(ValueError, match="needs at least 2 fake images, got 1; add more"):
        kernel_distance(normal(3), normal(1))
    with pytest.raises(ValueError, match="must be of one width, got 5 of real and 4 of fake"):
        kernel_distance(normal(3), normal(3, 4))
    with pytest.raises(ValueError, match="features of fake images must be finite, got 15 NaN"):
        kernel_distance(normal(3), normal(3) / 0)
    with pytest.raises(ValueError, match="subset_size must be at most the number of images, got 9"):
        subset_distance(normal(9), normal(8), num=2, size=9, seed=0)
    with pytest.raises(ValueError, match="num_subsets must be at least 1, got 0; leave it out"):
        KernelDistance(num_subsets=0)
    with pytest.raises(ValueError, match="subset_size must be at least 2, got 1"):
        KernelDistance(num_subsets=2, subset_size=1)
