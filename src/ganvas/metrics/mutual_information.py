"""Mutual information of codes and factors by histograms, and the gap that MIG is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ganvas.metrics.classes import class_entropy
from ganvas.metrics.disentanglement import checked_pair

if TYPE_CHECKING:
    from torch import Tensor


def mutual_information_gap(codes: Tensor, factors: Tensor, *, num_bins: int) -> float:
    """MIG = 1/F Σ_k (I(z_j*; v_k) − max_{j≠j*} I(z_j; v_k)) / H(v_k), j* = argmax_j I(z_j; v_k).

    Chen et al. 2018, arXiv:1802.04942, eq. 6, with I and H by histogram as in Locatello et al. 2019
    (arXiv:1811.12359): each code in bins of equal width. The paper's I is of codes
    drawn from q(z|x), with their density.

    Codes that are the factors themselves do not reach 1 where a factor has more values than there
    are bins, or where the factors of these images happen to depend on each other. Give factors as
    codes for that ceiling. Of one code alone the second largest I is 0. Factors of a single value
    are left out.

    Args:
        codes: `(N, Z)`.
        factors: values from 0, int64 `(N, F)`.
        num_bins: of each code.

    Raises:
        ValueError: if there are fewer than two bins or images, numbers differ, a code is not
            finite, or no factor varies.
    """
    codes, factors = checked_pair(codes, factors)
    binned = discretized(codes, num_bins=num_bins)
    gaps = []
    for factor in factors.unbind(1):
        found = sorted(mutual_information(code, factor) for code in binned.unbind(1))
        second, first = [0.0, *found][-2:]
        gaps.append((first - second) / entropy(factor))
    return sum(gaps) / len(gaps)


def discretized(codes: Tensor, *, num_bins: int) -> Tensor:
    """Which of `num_bins` bins of equal width from its least to its largest value each code is in.

    Args:
        codes: `(N, Z)`; a constant one is in bin 0.
        num_bins: at least 2.

    Returns:
        int64 `(N, Z)`.

    Raises:
        ValueError: if there are fewer than two bins.
    """
    if num_bins < 2:  # noqa: PLR2004
        raise ValueError(f"num_bins must be at least 2, got {num_bins}; all codes would be equal")
    low, high = codes.amin(0), codes.amax(0)
    width = torch.where(high > low, high - low, torch.ones_like(low))
    return ((codes - low) / width * num_bins).long().clamp(max=num_bins - 1)


def mutual_information(a: Tensor, b: Tensor) -> float:
    """I(a; b) = H(a) + H(b) − H(a, b) in nats of labels from 0, int64 `(N,)` each, as counted."""
    return entropy(a) + entropy(b) - entropy(a * (int(b.max()) + 1) + b)


def entropy(labels: Tensor) -> float:
    """−Σ p log p of the shares of labels from 0, int64 `(N,)`, in nats."""
    return class_entropy(torch.bincount(labels))
