"""The importance-weighted bound on log p(x), and its lower-variance gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """log 1/K Σ_k w_k (Burda et al. 2016, eq. 8), in nats per image.

    Its mean is the ELBO for K = 1, never falls with K, and tends to log p(x).

    Args:
        log_weights: log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x), `(B, K)`.

    Returns:
        `(B,)`.
    """
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])


def reparameterize_twice(z: Tensor, log_weights: Tensor) -> None:
    """Make the bound's gradient the doubly reparameterised one (Tucker et al. 2019, eq. 8).

    The bound weighs ∂ log w_k / ∂z_k with w̃_k = w_k / Σ_j w_j; on its way to the encoder it is
    weighed with w̃_k once more. `log_weights` must hold q's parameters fixed, so that they depend
    on the encoder through `z` alone. Gradients that don't pass through `z` (the decoder's) stay.

    Args:
        z: the codes that `log_weights` were computed from, `(B · K, Z)`, image by image.
        log_weights: `(B, K)`.
    """
    if z.requires_grad:
        normalized = log_weights.detach().softmax(1).view(-1, 1)
        z.register_hook(lambda gradient: normalized * gradient)
