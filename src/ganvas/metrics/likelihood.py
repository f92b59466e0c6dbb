"""Bounds on log p(x) from importance-weighted codes, and what they are in bits per dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = 256


@dataclass(frozen=True, slots=True)
class ImportanceSums:
    """Sums over codes z_k ~ q(z|x) with weights w_k = p(x|z_k) p(z_k) / q(z_k|x), `(B,)` each.

    Those of two sets of codes are added with `+`, so K codes are never held at once. In float64.

    Attributes:
        num: codes K per image.
        log_weights: log Σ_k w_k.
        log_squares: log Σ_k w_k².
        log_likelihood: Σ_k log p(x|z_k).
        log_ratio: Σ_k log q(z_k|x) / p(z_k).
    """

    num: int
    log_weights: Tensor
    log_squares: Tensor
    log_likelihood: Tensor
    log_ratio: Tensor

    @classmethod
    def of(cls, log_likelihood: Tensor, log_ratio: Tensor) -> ImportanceSums:
        """From log p(x|z_k) and log q(z_k|x) / p(z_k) in nats, `(B, K)` each."""
        log_likelihood, log_ratio = log_likelihood.double(), log_ratio.double()
        log_weights = log_likelihood - log_ratio
        return cls(
            num=log_weights.shape[1],
            log_weights=log_weights.logsumexp(1),
            log_squares=(2 * log_weights).logsumexp(1),
            log_likelihood=log_likelihood.sum(1),
            log_ratio=log_ratio.sum(1),
        )

    def __add__(self, other: ImportanceSums) -> ImportanceSums:
        return ImportanceSums(
            num=self.num + other.num,
            log_weights=torch.logaddexp(self.log_weights, other.log_weights),
            log_squares=torch.logaddexp(self.log_squares, other.log_squares),
            log_likelihood=self.log_likelihood + other.log_likelihood,
            log_ratio=self.log_ratio + other.log_ratio,
        )

    @property
    def bound(self) -> Tensor:
        """log 1/K Σ_k w_k (Burda et al. 2016, arXiv:1509.00519, eq. 8), in nats.

        Its expectation is at most log p(x), never falls with K, and tends to log p(x).
        """
        return self.log_weights - math.log(self.num)

    @property
    def distortion(self) -> Tensor:
        """−1/K Σ_k log p(x|z_k), in nats."""
        return -self.log_likelihood / self.num

    @property
    def rate(self) -> Tensor:
        """1/K Σ_k log q(z_k|x) / p(z_k), in nats: KL(q(z|x) ‖ p(z)) in expectation."""
        return self.log_ratio / self.num

    @property
    def effective(self) -> Tensor:
        """(Σ_k w_k)² / Σ_k w_k², from 1 to K: how many codes the bound rests on."""
        return (2 * self.log_weights - self.log_squares).exp()


def dequantized(x: Tensor, uniform: Tensor) -> Tensor:
    """(255 x + u) / 256 in [0, 1]: levels k/255 spread evenly over [k/256, (k + 1)/256).

    Theis et al. 2016, arXiv:1511.01844, sec. 3.1. By Jensen E_u log p((k + u) / 256) is at most
    log E_u p((k + u) / 256) = log [256^D P(k)], where P(k) is what the density p gives to the D
    cells of size 1/256 together.

    Args:
        x: pixels in multiples of 1/255, of any shape.
        uniform: u in [0, 1], of the same shape.
    """
    return ((LEVELS - 1) * x + uniform) / LEVELS


def bits_per_dim(log_prob: Tensor, *, num_values: int, is_density: bool) -> Tensor:
    """−log₂ P(x) / D: bits that a value costs, of the shape of `log_prob`.

    P is the probability of the image's levels; for a density p of dequantised images (see there)
    p / 256^D takes its place, which adds 8 bits.

    Args:
        log_prob: log P or log p in nats per image.
        num_values: D, pixels times channels.
        is_density: whether it is log p.
    """
    bits = -log_prob / (num_values * math.log(2))
    return bits + math.log2(LEVELS) if is_density else bits
