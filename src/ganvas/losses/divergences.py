"""Divergences between distributions, in nats per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.types import GaussianPosterior


def standard_normal_kl(posterior: GaussianPosterior) -> Tensor:
    """KL(N(mu, diag exp(log_var)) ‖ N(0, I)) = ½ Σ_j (mu_j² + exp log_var_j − 1 − log_var_j).

    Kingma & Welling 2014, appendix B. Returns `(B,)` nats for a posterior of `(B, Z)`.
    """
    mu, log_var = posterior.mu, posterior.log_var
    return 0.5 * (mu.square() + log_var.exp() - 1.0 - log_var).sum(1)
