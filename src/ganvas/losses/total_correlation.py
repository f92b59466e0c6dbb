"""The rate in three parts: mutual information, total correlation, dimension-wise KL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.losses.weights import check_weights
from ganvas.types import GaussianPosterior, LossTerms

if TYPE_CHECKING:
    from torch import Tensor

Estimator = Literal["minibatch_weighted", "minibatch_stratified"]


@dataclass(frozen=True)
class RateParts:
    """log q(z|x) − log p(z) of each code in three parts that add up to it exactly, `(B,)` nats.

    Attributes:
        mutual_information: log q(z|x) − log q(z); its mean estimates I(x; z).
        total_correlation: log q(z) − Σ_j log q(z_j); its mean estimates KL(q(z) ‖ Π_j q(z_j)).
        dimension_wise_kl: Σ_j log q(z_j) − log p(z_j); its mean estimates Σ_j KL(q(z_j) ‖ p(z_j)).
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise_kl: Tensor


def pairwise_log_density(z: Tensor, posterior: GaussianPosterior) -> Tensor:
    """log q(z_i,d | x_j) at `[i, j, d]`: `(B, B, Z)` for codes and a posterior of `(B, Z)` each."""
    mu, log_var = posterior.mu.unsqueeze(0), posterior.log_var.unsqueeze(0)
    squared = (z.unsqueeze(1) - mu).square() * (-log_var).exp()
    return -0.5 * (math.log(2 * math.pi) + log_var + squared)


def weighted_log_weights(batch: int, num_train: int, *, like: Tensor) -> Tensor:
    """Minibatch-weighted sampling: log 1/(N·B) for every pair, `(B, B)`.

    Chen et al. 2018, appendix C.1. A lower bound of log q(z) in expectation. Its constant shifts
    the three parts (the total correlation by (Z − 1)·log N against the plain mean over the batch)
    and no gradient.
    """
    return like.new_full((batch, batch), -math.log(num_train * batch))


def stratified_log_weights(batch: int, num_train: int, *, like: Tensor) -> Tensor:
    """Minibatch-stratified sampling: log weights `(B, B)` of q(z_i|x_j) in an unbiased q(z_i).

    Chen et al. 2018, appendix C.2: the image that a code came from has its own share 1/N; the
    other B − 1 stand for the other N − 1 images, so each has (N − 1)/(N·(B − 1)) and a row sums
    to 1. A batch of one image stands for itself.

    Deviation: the paper gives 1/(B − 1) to all others but one, and the rest to that one. The mean
    over the choice of that one is used here: the same sum, independent of the order of the
    batch, and exact (1/N each) where the batch is the whole data set.
    """
    if batch == 1:
        return like.new_zeros(1, 1)
    others = math.log(num_train - 1) - math.log(num_train) - math.log(batch - 1)
    own = torch.eye(batch, dtype=torch.bool, device=like.device)
    return like.new_full((batch, batch), others).masked_fill(own, -math.log(num_train))


def rate_parts(z: Tensor, posterior: GaussianPosterior, log_weights: Tensor) -> RateParts:
    """The three parts for codes and a posterior of `(B, Z)` each, with the prior N(0, I).

    q(z_i) is estimated by Σ_j w_ij q(z_i|x_j), and each marginal q(z_i,d) likewise.

    Args:
        z: codes, the i-th drawn from q(z|x_i).
        posterior: q(z|x) of the batch.
        log_weights: log w `(B, B)`.
    """
    pairs = pairwise_log_density(z, posterior)
    log_q_given_x = pairs.diagonal().sum(0)
    log_q = torch.logsumexp(log_weights + pairs.sum(2), dim=1)
    log_marginals = torch.logsumexp(log_weights.unsqueeze(2) + pairs, dim=1).sum(1)
    log_prior = -0.5 * (math.log(2 * math.pi) + z.square()).sum(1)
    return RateParts(log_q_given_x - log_q, log_q - log_marginals, log_marginals - log_prior)


class TotalCorrelationLoss(VAELoss):
    """−E_q log p(x|z) + α · I(x; z) + β · KL(q(z) ‖ Π_j q(z_j)) + γ · Σ_j KL(q(z_j) ‖ p(z_j)).

    The β-TCVAE (Chen et al. 2018, arXiv:1802.04942, eq. 4), for the prior N(0, I). α = β = γ = 1 is
    the VAE with the KL estimated from its one sample of z, whatever the estimator. q(z) is the
    mean of q(z|x) over the training images, estimated from the batch (of one rank): the three
    parts depend on its size, and need B² · Z floats (1.3 MB for B = 128, Z = 20) a few times over.

    Args:
        alpha: weight of the mutual information.
        beta: weight of the total correlation.
        gamma: weight of the dimension-wise KL.
        estimator: "minibatch_weighted" (appendix C.1) or "minibatch_stratified" (C.2).
        num_train: number N of training images; the data set tells it.

    Raises:
        ValueError: for another estimator, a weight below 0, or fewer than 2 training images.
    """

    standard_normal_prior: ClassVar[bool] = True

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        gamma: float,
        estimator: Estimator,
        num_train: int,
    ) -> None:
        check_weights(alpha=alpha, beta=beta, gamma=gamma)
        log_weights = {
            "minibatch_weighted": weighted_log_weights,
            "minibatch_stratified": stratified_log_weights,
        }
        if estimator not in log_weights:
            raise ValueError(f"estimator must be one of {', '.join(log_weights)}, got {estimator}")
        if num_train <= 1:
            raise ValueError(
                f"num_train must be at least 2, got {num_train}; q(z) is a mean over many images"
            )
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.log_weights = log_weights[estimator]
        self.num_train = num_train

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class; the three bare means are parts."""
        del rate, step
        z = outputs.z
        log_weights = self.log_weights(len(z), self.num_train, like=z)
        parts = rate_parts(z, outputs.posterior, log_weights)
        return (
            LossTerms(distortion)
            .plus("mutual_information", parts.mutual_information.mean(), weight=self.alpha)
            .plus("total_correlation", parts.total_correlation.mean(), weight=self.beta)
            .plus("dimension_wise_kl", parts.dimension_wise_kl.mean(), weight=self.gamma)
        )
