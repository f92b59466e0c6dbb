"""Divergences between distributions, in nats per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.types import GaussianPosterior


def standard_normal_kl_per_dim(posterior: GaussianPosterior) -> Tensor:
    """KL(q(z_j|x) ‖ N(0, 1)) = ½ (mu_j² + exp log_var_j − 1 − log_var_j), `(B, Z)` nats.

    Kingma & Welling 2014, appendix B. A posterior of `(B, Z)` has Z dimensions j.
    """
    mu, log_var = posterior.mu, posterior.log_var
    return 0.5 * (mu.square() + log_var.exp() - 1.0 - log_var)


def standard_normal_kl(posterior: GaussianPosterior) -> Tensor:
    """KL(N(mu, diag exp(log_var)) ‖ N(0, I)), the sum of all dimensions' KL, `(B,)` nats."""
    return standard_normal_kl_per_dim(posterior).sum(1)
