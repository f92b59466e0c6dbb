"""The Wasserstein autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from ganvas.losses.mmd import Kernel, checked_kernel, mmd
from ganvas.losses.weights import check_weights
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.types import Batch, LossTerms


class WAE(Autoencoder):
    """minimise E_x d(x, x̂) + λ · MMD²(encoder(x), N(0, I)): WAE-MMD (Tolstikhin et al. 2018).

    arXiv:1711.01558, eq. 4 and algorithm 2, with a deterministic encoder. The MMD is the paper's
    unbiased estimate from the codes of the batch (of one rank) and as many from the prior, so
    it depends on how a batch is cut, and may be below 0.

    Args:
        mmd_weight: λ.
        kernel: of the MMD.
        autoencoder: arguments of `Autoencoder`.

    Raises:
        ValueError: if λ is below 0.
    """

    standard_normal_prior = True
    higher_is_better: ClassVar[Mapping[str, bool]] = {**Autoencoder.higher_is_better, "mmd": False}

    def __init__(self, *, mmd_weight: float, kernel: Kernel, **autoencoder: Any) -> None:
        super().__init__(**autoencoder)
        check_weights(mmd_weight=mmd_weight)
        self.mmd_weight = mmd_weight
        self.kernel = checked_kernel(kernel)

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The distance of the batch from its reconstruction, and of its codes from the prior."""
        code = self.encode(batch.x)
        distance = mmd(code.float(), self.noise(batch, self.latent_dim), self.kernel)
        return self.reconstruction_terms(batch.x, code).plus(
            "mmd", distance, weight=self.mmd_weight
        )

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)` from N(0, I)."""
        return self.prior_noise(num, self.latent_dim, seed=seed)

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """Images `(num, C, H, W)` of codes from the prior (or of the given `noise`)."""
        return self.decode(self.prior_codes(num, seed=seed) if noise is None else noise)
