"""Maximum mean discrepancy: how far two sets of codes are from one distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ganvas.losses.elbo import VAELoss, VAEOutputs
from ganvas.types import LossTerms

if TYPE_CHECKING:
    from torch import Tensor


class Kernel(ABC):
    """Abstract: a positive definite function of the distance of two codes.

    `bandwidth` σ is the scale of one coordinate (1 for the prior N(0, I)): all kernels measure
    ‖x − y‖² in units of C = 2·Z·σ², its mean for x, y ~ N(0, σ²I), so none depends on the width Z.
    """

    def __init__(self, *, bandwidth: float) -> None:
        if not bandwidth > 0:
            raise ValueError(
                f"bandwidth must be positive, got {bandwidth}; 1 is the scale of the prior"
            )
        self.bandwidth = bandwidth

    @abstractmethod
    def of_distance(self, ratio: Tensor) -> Tensor:
        """Kernel values for ‖x − y‖² / C of any shape."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """k(x_i, y_j), `(N, M)` for `(N, Z)` and `(M, Z)`; N · M · Z values in between.

        Differences, not a matrix product, which would lose small distances to rounding.
        """
        squared = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(2)
        return self.of_distance(squared / (2 * x.shape[1] * self.bandwidth**2))


class RBFKernel(Kernel):
    """k(x, y) = exp(−‖x − y‖² / C) with C = 2·Z·σ².

    Args:
        bandwidth: σ.
    """

    def of_distance(self, ratio: Tensor) -> Tensor:
        """See the class."""
        return (-ratio).exp()


class InverseMultiquadraticKernel(Kernel):
    """k(x, y) = Σ_s s·C / (s·C + ‖x − y‖²) with C = 2·Z·σ² (Tolstikhin et al. 2018, sec. 4).

    The paper writes one scale s = 1; its experiments sum over several, so that near and far
    codes both count. Its tails are heavy: codes far from the prior still have a gradient.

    Args:
        bandwidth: σ.
        scales: the factors s.
    """

    def __init__(self, *, bandwidth: float, scales: Sequence[float]) -> None:
        super().__init__(bandwidth=bandwidth)
        if not scales or not min(scales) > 0:
            raise ValueError(
                f"scales must be positive numbers, got {list(scales)}; [1] is the plain kernel"
            )
        self.scales = tuple(scales)

    def of_distance(self, ratio: Tensor) -> Tensor:
        """See the class."""
        return sum((s / (s + ratio) for s in self.scales), start=ratio.new_zeros(()))


def checked_kernel(kernel: Kernel) -> Kernel:
    """`kernel` itself.

    Raises:
        ValueError: if a config gave something else.
    """
    if not isinstance(kernel, Kernel):
        raise ValueError(
            "kernel must name a kernel by _target_, such as ganvas.losses.mmd.RBFKernel, "
            f"got {kernel!r}"
        )
    return kernel


def mmd(x: Tensor, y: Tensor, kernel: Kernel, *, unbiased: bool = True) -> Tensor:
    """MMD² of the distributions that `x` and `y`, `(N, Z)` and `(M, Z)`, were drawn from; scalar.

    mean k(x, x') + mean k(y, y') − 2 · mean k(x, y) (Gretton et al. 2012, eq. 3 and 5). Unbiased, a
    code is never paired with itself: 0 in expectation for equal distributions, and negative at
    times (a single code has no pair, and its mean counts as 0). Biased, it is the squared
    distance of the two empirical distributions: never negative, 0 for equal samples.
    """
    within = [_mean_of_pairs(kernel(a, a), unbiased=unbiased) for a in (x, y)]
    return within[0] + within[1] - 2.0 * kernel(x, y).mean()


def _mean_of_pairs(values: Tensor, *, unbiased: bool) -> Tensor:
    num = len(values)
    if not unbiased:
        return values.mean()
    return (values.sum() - values.diagonal().sum()) / max(num * (num - 1), 1)


class InfoLoss(VAELoss):
    """−E_q log p(x|z) + (1 − α) · KL(q(z|x) ‖ p(z)) + (α + λ − 1) · MMD²(q(z), p(z)).

    InfoVAE (Zhao et al. 2017, arXiv:1706.02262, eq. 6) with the MMD as its divergence: α = 0, λ = 1
    is the VAE, α = 1 the MMD-VAE. The MMD is estimated, without bias, from the sampled codes of
    the batch (of one rank) and as many from the prior: it depends on how a batch is cut.

    Args:
        alpha: α, weight of the mutual information that is given back; at most 1.
        lambda_prior: λ, weight of q(z) against p(z); at least 1 − α.
        kernel: of the MMD.

    Raises:
        ValueError: if the KL or the MMD would have a negative weight.
    """

    def __init__(self, *, alpha: float, lambda_prior: float, kernel: Kernel) -> None:
        if not alpha <= 1:
            raise ValueError(f"alpha must be at most 1, got {alpha}; 1 leaves the KL term out")
        if not lambda_prior >= 1 - alpha:
            raise ValueError(
                f"lambda_prior must be at least 1 - alpha = {1 - alpha:g}, got {lambda_prior}; "
                "1 - alpha leaves the MMD out"
            )
        self.rate_weight = 1.0 - alpha
        self.mmd_weight = alpha + lambda_prior - 1.0
        self.kernel = checked_kernel(kernel)

    def objective(
        self, outputs: VAEOutputs, *, distortion: Tensor, rate: Tensor, step: int
    ) -> LossTerms:
        """See the class; the bare MMD² is the part `mmd`."""
        del step
        distance = mmd(outputs.z, outputs.draw_prior(), self.kernel)
        terms = LossTerms(distortion + self.rate_weight * rate)
        return terms.plus("mmd", distance, weight=self.mmd_weight)
