"""Vector quantisation with a codebook of moving averages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ganvas.nn.gather import gathered


def straight_through(z: Tensor, codes: Tensor) -> Tensor:
    """The value of `codes`, the gradient of `z` (Bengio et al. 2013, arXiv:1308.3432)."""
    return z + (codes - z).detach()


def usage(indices: Tensor, *, num_codes: int) -> Tensor:
    """How often each code is used, float32 `(K,)`."""
    ones = torch.ones(indices.numel(), device=indices.device)
    return ones.new_zeros(num_codes).index_add(0, indices.flatten(), ones)


def perplexity(counts: Tensor) -> Tensor:
    """exp(−Σ p log p) with p = counts / Σ counts: how many codes are in use, from 1 to K."""
    p = counts / counts.sum()
    return torch.special.entr(p).sum().exp()


class Quantizer(nn.Module):
    """The nearest of K vectors; each vector is a moving average of what is quantised to it.

    For the n_i vectors of a batch that are nearest to code i (van den Oord et al. 2017, appendix
    A.1): N_i ← γ·N_i + (1 − γ)·n_i, m_i ← γ·m_i + (1 − γ)·Σ z, e_i = m_i / N̂_i, with the Laplace
    smoothing of its authors' code, N̂_i = (N_i + ε) / (N + K·ε) · N where N = Σ N_i.

    A code whose N_i falls below a threshold is dead. It begins anew at a vector z of the batch,
    with N_i at the threshold (random restart, Dhariwal et al. 2020, arXiv:2005.00341, sec. 3.1).
    Deviation: there the averages m_i and N_i of a dead code stay as they were.

    Args:
        num_codes: K.
        code_dim: width D of a code.
        decay: γ.
        epsilon: ε.
        restart_threshold: uses per batch (a moving average) under which a code is dead; 0: never.

    Raises:
        ValueError: for a value out of range.
    """

    codebook: Tensor
    cluster_size: Tensor
    cluster_sum: Tensor

    def __init__(
        self,
        *,
        num_codes: int,
        code_dim: int,
        decay: float,
        epsilon: float,
        restart_threshold: float,
    ) -> None:
        super().__init__()
        for name, width in (("num_codes", num_codes), ("code_dim", code_dim)):
            if width < 1:
                raise ValueError(f"{name} must be at least 1, got {width}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        if epsilon <= 0:
            raise ValueError(f"epsilon must be positive, got {epsilon}")
        if restart_threshold < 0:
            raise ValueError(f"restart_threshold must be at least 0, got {restart_threshold}")
        self.decay, self.epsilon = decay, epsilon
        self.restart_threshold = restart_threshold
        self.register_buffer("codebook", torch.randn(num_codes, code_dim))
        self.register_buffer("cluster_size", torch.ones(num_codes))
        self.register_buffer("cluster_sum", self.codebook.clone())

    def forward(self, z: Tensor) -> Tensor:
        """Maps `(B, D, h, w)` to the indices of the nearest codes, int64 `(B, h, w)`."""
        nearest = torch.cdist(_vectors(z), self.codebook).argmin(1)
        return nearest.view(z.shape[0], *z.shape[2:])

    def lookup(self, indices: Tensor) -> Tensor:
        """Indices `(B, h, w)` to their codes `(B, D, h, w)`."""
        return F.embedding(indices, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor, *, scores: Tensor) -> None:
        """Move the codebook by one batch; over all ranks where there are several.

        Args:
            z: maps `(B, D, h, w)`.
            indices: of their codes, `(B, h, w)`.
            scores: noise `(B, h, w)`; dead codes restart at the vectors with the highest.
        """
        vectors, nearest = gathered(_vectors(z)), gathered(indices.flatten())
        counts = usage(nearest, num_codes=len(self.codebook))
        sums = torch.zeros_like(self.codebook).index_add(0, nearest, vectors)
        size = torch.lerp(counts, self.cluster_size, self.decay)
        total = torch.lerp(sums, self.cluster_sum, self.decay)
        dead = size < self.restart_threshold
        fresh = self._candidates(vectors, gathered(scores.flatten()), dead)
        size = torch.where(dead, self.restart_threshold, size)
        total = torch.where(dead[:, None], self.restart_threshold * fresh, total)
        everything = size.sum()
        smoothed = (size + self.epsilon) / (everything + len(size) * self.epsilon) * everything
        self.cluster_size.copy_(size)
        self.cluster_sum.copy_(total)
        self.codebook.copy_(torch.where(dead[:, None], fresh, total / smoothed[:, None]))

    def _candidates(self, vectors: Tensor, scores: Tensor, dead: Tensor) -> Tensor:
        """`(K, D)`: for the i-th dead code the vector with the i-th highest score, over and over.

        Without a look at how many are dead, so that nothing waits for the device.
        """
        best = scores.topk(min(len(dead), len(scores))).indices
        turn = (dead.long().cumsum(0) - 1).clamp(min=0) % len(best)
        return vectors[best[turn]]


def _vectors(z: Tensor) -> Tensor:
    """Maps `(B, D, h, w)` as float32 rows `(B·h·w, D)` without gradient."""
    return z.detach().float().movedim(1, -1).flatten(0, -2)
