"""The kernel distance between two sets of images, in the features of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganvas.metrics.feature_metric import FeatureMetric, check_finite

LEAST = 2
LEAST_FOR_ERROR = 4
CHUNK = 1024


class Estimate(NamedTuple):
    """A value and its standard error, float64 scalars; NaN where no error can be told."""

    value: Tensor
    error: Tensor


class KernelDistance(FeatureMetric):
    """E k(x, x') + E k(y, y') − 2 E k(x, y) with k(x, y) = (x·y / D + 1)³, without bias.

    The squared maximum mean discrepancy of features x of real and y of fake images (Bińkowski et
    al. 2018, arXiv:1801.01401, sec. 4). It is called KID for the features of one certain Inception
    network only. Unlike there, the estimate is the U-statistic over all pairs, in float64, and not
    a mean over random subsets, which is an option. It may be below 0.

    All features are kept.

    Args:
        num_subsets: of the mean over random subsets; None for all pairs.
        subset_size: images of either kind in each subset.
        seed: of the subsets; over ranks they are others than on one, all pairs are the same.
        metric: arguments of `FeatureMetric`: `features`, `num_features`, `keep_real`, `floats`.

    Raises:
        ValueError: on `compute`, with fewer than two images of either kind, or than `subset_size`.
    """

    higher_is_better = False

    def __init__(
        self,
        *,
        num_subsets: int | None = None,
        subset_size: int = 1000,
        seed: int = 0,
        **metric: Any,
    ) -> None:
        super().__init__(**metric)
        check_subsets(num_subsets, subset_size)
        self.num_subsets, self.subset_size, self.seed = num_subsets, subset_size, seed

    def compute(self) -> Estimate:
        """The distance and its standard error, see `kernel_distance` and `subset_distance`."""
        real, fake = self.rows("real"), self.rows("fake")
        if self.num_subsets is None:
            return kernel_distance(real, fake)
        return subset_distance(
            real, fake, num=self.num_subsets, size=self.subset_size, seed=self.seed
        )


def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """The U-statistic over all pairs of features `(M, D)` and `(N, D)`, chunk by chunk.

    Its standard error, over new draws of both sets, is the root of `variance`, which is kept where
    the truth is: between half of the jackknife's and all of it. NaN with fewer than four images.

    Raises:
        ValueError: with fewer than two images of either kind, other widths, NaN or infinity.
    """
    for name, x in (("real", real), ("fake", fake)):
        if len(x) < LEAST:
            raise ValueError(
                f"a kernel distance needs at least {LEAST} {name} images, got {len(x)}; add more "
                "first"
            )
        check_finite(x, name=f"features of {name} images")
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"features must be of one width, got {real.shape[1]} of real and {fake.shape[1]} of "
            "fake images; use one network and one layer"
        )
    xx, yy, xy = within(real), within(fake), between(real, fake)
    value = xx.total / xx.pairs + yy.total / yy.pairs - 2 * xy.total / xy.pairs
    if min(len(real), len(fake)) < LEAST_FOR_ERROR:
        return Estimate(value, value.new_tensor(math.nan))
    unbiased, jackknife = variance(xx, yy, xy)
    return Estimate(value, unbiased.clamp(jackknife / 2, jackknife).sqrt())


def subset_distance(real: Tensor, fake: Tensor, *, num: int, size: int, seed: int) -> Estimate:
    """Mean of `kernel_distance` over random subsets of features, each without repeats.

    Its standard error is that of the mean over subsets of these images, s / √num: how well more
    subsets would be matched. It says nothing of other images.

    Args:
        real: features `(M, D)`.
        fake: features `(N, D)`.
        num: of subsets.
        size: of each.
        seed: of the draws.

    Raises:
        ValueError: also if there are fewer images than `size`.
    """
    check_subsets(num, size)
    if size > min(len(real), len(fake)):
        raise ValueError(
            f"subset_size must be at most the number of images, got {size} of {len(real)} real and "
            f"{len(fake)} fake images; choose a smaller one"
        )
    subsets = random_subsets(len(real), len(fake), num=num, size=size, seed=seed)
    found = torch.stack([kernel_distance(real[i], fake[j]).value for i, j in subsets])
    spread = found.std() if num > 1 else found.new_tensor(math.nan)
    return Estimate(found.mean(), spread / num**0.5)


def random_subsets(
    num_real: int, num_fake: int, *, num: int, size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices `(size,)` of real and of fake images, `num` times."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num):
        i, j = (torch.randperm(n, generator=generator)[:size] for n in (num_real, num_fake))
        yield i, j


def check_subsets(num: int | None, size: int) -> None:
    """There is a subset, of at least two images.

    Raises:
        ValueError: else.
    """
    if num is not None and num < 1:
        raise ValueError(f"num_subsets must be at least 1, got {num}; leave it out for all pairs")
    if size < LEAST:
        raise ValueError(f"subset_size must be at least {LEAST}, got {size}")


@dataclass(frozen=True)
class Sums:
    """Of a kernel over pairs of images.

    Attributes:
        rows: Σ k(x, ·) for each x, `(M,)`.
        columns: Σ k(·, y) for each y, `(N,)`.
        squares: Σ k², a scalar.
        pairs: number of ordered pairs.
    """

    rows: Tensor
    columns: Tensor
    squares: Tensor
    pairs: int

    @property
    def total(self) -> Tensor:
        """Σ k."""
        return self.rows.sum()


def between(x: Tensor, y: Tensor) -> Sums:
    """Over all pairs of one of `(M, D)` and one of `(N, D)`."""
    return Sums(*_summed(x, y, alike=False), len(x) * len(y))


def within(x: Tensor) -> Sums:
    """Over all pairs of different ones of `(N, D)`, in both orders."""
    after, before, squares = _summed(x, x, alike=True)
    return Sums(after + before, after + before, 2 * squares, len(x) * (len(x) - 1))


def _summed(x: Tensor, y: Tensor, *, alike: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Sums by row, by column and of squares; of alike sets over the pairs i < j only."""
    rows, columns = (torch.zeros(len(z), dtype=torch.float64, device=z.device) for z in (x, y))
    squares = rows.new_zeros(())
    for i in range(0, len(x), CHUNK):
        for j in range(i if alike else 0, len(y), CHUNK):
            a, b = x[i : i + CHUNK].double(), y[j : j + CHUNK].double()
            k = (a @ b.T / x.shape[1] + 1).pow(3)
            k = k.triu(1) if alike and i == j else k
            rows[i : i + CHUNK] += k.sum(1)
            columns[j : j + CHUNK] += k.sum(0)
            squares += k.square().sum()
    return rows, columns, squares


def variance(xx: Sums, yy: Sums, xy: Sums) -> tuple[Tensor, Tensor]:
    """Estimates V and J of the variance of the statistic over draws of both sets; V has no bias.

    In Hoeffding's decomposition the statistic is a sum over images plus a sum over pairs. J, the
    delete-one jackknife over x plus that over y, finds the variance of the first; of the second it
    finds 2 (M − 1) / (M − 2) times the variance for pairs within a set, and 2 times for pairs
    across. These have estimates of their own, and V is J without what is too much.
    """
    m, n = len(xy.rows), len(xy.columns)
    jackknife = xy.total.new_zeros(())
    too_much = 4 * _pair_variance(xy) / (m * n)
    for inside, across, num, other in ((xx, xy.rows, m, n), (yy, xy.columns, n, m)):
        share = across / other - inside.rows / (num - 2)
        jackknife += 4 * share.var() / num
        too_much += (4 / (num * (num - 2)) - 2 / inside.pairs) * _pair_variance_within(inside)
    return jackknife - too_much, jackknife


def _pair_variance(k: Sums) -> Tensor:
    """E g² without bias, g(x, y) = k(x, y) − E k(x, ·) − E k(·, y) + E k, of different sets."""
    m, n = len(k.rows), len(k.columns)
    by_row, by_column = k.rows.square().sum(), k.columns.square().sum()
    same = k.squares / (m * n)
    one_row = (by_row - k.squares) / (m * n * (n - 1))
    one_column = (by_column - k.squares) / (m * n * (m - 1))
    apart = (k.total.square() - by_row - by_column + k.squares) / (m * n * (m - 1) * (n - 1))
    return same - one_row - one_column + apart


def _pair_variance_within(k: Sums) -> Tensor:
    """As `_pair_variance`, of one set."""
    n = len(k.rows)
    by_row = k.rows.square().sum()
    same = k.squares / k.pairs
    one_shared = (by_row - k.squares) / (k.pairs * (n - 2))
    apart = (k.total.square() - 4 * by_row + 2 * k.squares) / (k.pairs * (n - 2) * (n - 3))
    return same - 2 * one_shared + apart
