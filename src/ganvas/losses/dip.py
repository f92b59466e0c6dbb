"""Moments of the codes, matched to the prior's."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.losses.weights import check_weights
from ganvas.types import GaussianPosterior, LossTerms

if TYPE_CHECKING:
    from torch import Tensor


def covariance(x: Tensor) -> Tensor:
    """Cov(x) over the batch with divisor B (`numpy.cov(x.T, bias=True)`), `(Z, Z)` for `(B, Z)`.

    Sums of products rather than a matrix product, which autocast would round; B · Z² values.
    """
    centred = x - x.mean(0)
    return (centred.unsqueeze(2) * centred.unsqueeze(1)).mean(0)


def aggregate_covariance(posterior: GaussianPosterior) -> Tensor:
    """Covariance of z ~ 1/B Σ_i q(z|x_i) by the law of total covariance, `(Z, Z)`.

    E_x Cov(z|x) + Cov_x E(z|x); exact for this mixture, since both terms have the divisor B.
    """
    return covariance(posterior.mu) + torch.diag(posterior.log_var.exp().mean(0))


class DIPLoss(VAELoss):
    """−E log p(x|z) + KL + λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)² (Kumar et al. 2018).

    arXiv:1711.00848. In DIP-VAE-I (eq. 6) C is the covariance of the posterior means, in DIP-VAE-II
    (eq. 7) that of the codes, E[diag exp(log_var)] + Cov(mu). Both penalties belong to the
    batch (of one rank) as a whole; a batch of one image has no covariance.

    Args:
        variant: "I" or "II".
        lambda_offdiagonal: λ_od.
        lambda_diagonal: λ_d.

    Raises:
        ValueError: for another variant, or a weight below 0.
    """

    standard_normal_prior: ClassVar[bool] = True

    def __init__(
        self,
        *,
        variant: Literal["I", "II"],
        lambda_offdiagonal: float,
        lambda_diagonal: float,
    ) -> None:
        if variant not in ("I", "II"):
            raise ValueError(f"variant must be I or II, got {variant}; choose one of the two")
        check_weights(lambda_offdiagonal=lambda_offdiagonal, lambda_diagonal=lambda_diagonal)
        self.variant = variant
        self.lambda_offdiagonal = lambda_offdiagonal
        self.lambda_diagonal = lambda_diagonal

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class; the bare penalties are the parts `dip_offdiagonal` and `dip_diagonal`."""
        del step
        posterior = outputs.posterior
        of_means = self.variant == "I"
        cov = covariance(posterior.mu) if of_means else aggregate_covariance(posterior)
        variances = cov.diagonal()
        off_diagonal = (cov - torch.diag(variances)).square().sum()
        diagonal = (variances - 1.0).square().sum()
        terms = LossTerms(distortion + rate)
        terms = terms.plus("dip_offdiagonal", off_diagonal, weight=self.lambda_offdiagonal)
        return terms.plus("dip_diagonal", diagonal, weight=self.lambda_diagonal)
