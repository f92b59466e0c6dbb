"""What codes know of images: active units, and the rate in three parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ganvas.losses.total_correlation import RateParts, pairwise_log_density

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.types import GaussianPosterior

_VALUES_AT_ONCE = 2**20
"""Pairs times dimensions that are held at once: 8 MB, a few times over."""


def active_units(means: Tensor, *, threshold: float) -> int:
    """Dimensions u with Var_x(E_q(u|x) u) above the threshold (Burda et al. 2016, sec. 5.2).

    arXiv:1509.00519, where the threshold is 0.01.

    Args:
        means: E_q(z|x) z of all images, `(N, Z)`.
        threshold: of the variance (with divisor N).
    """
    return int((means.double().var(0, correction=0) > threshold).sum())


def information_parts(z: Tensor, posterior: GaussianPosterior) -> RateParts:
    """log q(z_i|x_i) − log p(z_i) of each code in three parts, `(N,)` nats each, p(z) = N(0, I).

    I_q(x; z) + KL(q(z) ‖ Π_d q(z_d)) + Σ_d KL(q(z_d) ‖ p(z_d)) are the means of the parts (Chen et
    al. 2018, arXiv:1802.04942, eq. 2; Hoffman & Johnson 2016, "ELBO surgery", for the first against
    the sum of the other two). q(z) is the aggregate posterior of these N images, each its own
    among them, and the same for each dimension:

        log q(z_i) = log 1/N Σ_j q(z_i|x_j),    log q(z_i,d) = log 1/N Σ_j q(z_i,d|x_j)

    The data are taken to be these N images, so the mutual information is log N at most: near that
    cap it says only that it is as large. The estimates are sampled, one code per image; to first
    order, their standard errors over the images account for q(z) being estimated, too.

    Float64, in memory that does not grow with N²; time grows with N² · Z.

    Args:
        z: codes `(N, Z)`, the i-th drawn from q(z|x_i).
        posterior: q(z|x), `(N, Z)` each.

    Raises:
        ValueError: if the shapes differ.
    """
    if z.shape != posterior.mu.shape:
        raise ValueError(
            f"there must be one code for each posterior, got codes {tuple(z.shape)} and posteriors "
            f"{tuple(posterior.mu.shape)}"
        )
    rows = max(1, _VALUES_AT_ONCE // posterior.mu.numel())
    log_q, log_marginals = [], []
    for part in z.split(rows):
        pairs = pairwise_log_density(part, posterior)
        log_q.append(pairs.sum(2).logsumexp(1))
        log_marginals.append(pairs.logsumexp(1))
    log_num = math.log(len(z))
    joint = torch.cat(log_q) - log_num
    product = (torch.cat(log_marginals) - log_num).sum(1)
    log_prior = -0.5 * (math.log(2 * math.pi) + z.square()).sum(1)
    return RateParts(posterior.log_prob(z) - joint, joint - product, product - log_prior)
