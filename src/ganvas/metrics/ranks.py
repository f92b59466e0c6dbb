"""Ranks of scores: how well they tell two kinds of images apart, and where one stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Auroc:
    """How often a score tells a pair apart.

    Attributes:
        value: share of pairs (odd, usual) where the odd one has the larger score; a tie is half.
        error: its standard error.
        num_odd: images m that are odd.
        num_usual: images n that are not.
    """

    value: float
    error: float
    num_odd: int
    num_usual: int


def auroc(scores: Tensor, is_odd: Tensor) -> Auroc:
    """The area under the ROC curve from ranks, and its standard error.

    Where v_i is the share of usual images that the i-th odd one beats (of its rank among all what
    its rank among the odd leaves, over n), the area is their mean (Mann & Whitney 1947), and its
    variance Var(v) / m plus the like of the usual ones / n (DeLong et al. 1988; by ranks, Sun & Xu
    2014).

    Args:
        scores: `(N,)`, the larger the odder.
        is_odd: bool `(N,)`, of both kinds.
    """
    ranks, odd, usual = mid_ranks(scores), scores[is_odd], scores[~is_odd]
    m, n = len(odd), len(usual)
    beaten = (ranks[is_odd] - mid_ranks(odd)) / n
    beats = 1 - (ranks[~is_odd] - mid_ranks(usual)) / m
    spread = [v.var().item() / len(v) if len(v) > 1 else float("nan") for v in (beaten, beats)]
    return Auroc(beaten.mean().item(), sum(spread) ** 0.5, m, n)


def mid_ranks(values: Tensor) -> Tensor:
    """Ranks 1 to N in float64, `(N,)`; equal values share the mean of theirs."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).double()[place]


def percentiles(values: Tensor, among: Tensor) -> Tensor:
    """The percentage of `among` `(N,)` that each of `values` `(M,)` is over; a tie is half."""
    ordered = among.sort().values
    below, upto = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return 50 * (below + upto).double() / len(among)
