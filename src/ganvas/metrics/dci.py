"""DCI: disentanglement, completeness and informativeness of codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier
from torch import Tensor

from ganvas.metrics.disentanglement import checked_pair, shares


@dataclass(frozen=True, slots=True)
class DCI:
    """What `dci` finds.

    Attributes:
        disentanglement: 1 where each code matters for one factor alone.
        completeness: 1 where each factor is told by one code alone.
        informativeness: share of factors' values foretold rightly, of images not trained on.
        informativeness_error: its standard error over those images.
        chance: what a guess of the most frequent value gets of the same images.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_error: float
    chance: float


def dci(codes: Tensor, factors: Tensor, *, num_stages: int, seed: int) -> DCI:
    """Disentanglement, completeness, informativeness (Eastwood & Williams 2018, sec. 2).

    ICLR 2018, "A framework for the quantitative evaluation of disentangled representations". One
    classifier for each factor is trained on the codes of half of the images, chosen by `seed`;
    the other half tells informativeness. Factors of a single value are left out.

    The paper's predictors were the lasso and random forests; here gradient-boosted trees of depth
    3, as in Locatello et al. 2019 (arXiv:1811.12359), at a learning rate of 0.1, with
    accuracy as there. R_jk is what splits on code j gained in impurity for factor k, summing to 1
    over j. Few stages matter: late trees split noise, and spread importance over every code.

    Args:
        codes: `(N, Z)`.
        factors: values from 0, int64 `(N, F)`.
        num_stages: of boosting; each grows one tree for each value of a factor.
        seed: of the halves, and of ties among splits.

    Raises:
        ValueError: if there are no stages or fewer than two images, numbers differ, a code is not
            finite, or no factor varies.
    """
    if num_stages < 1:
        raise ValueError(f"num_stages must be at least 1, got {num_stages}")
    codes, factors = checked_pair(codes, factors)
    x, v = codes.numpy(), factors.numpy()
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[: (len(x) + 1) // 2], order[(len(x) + 1) // 2 :]
    importance, right, guessed = [], [], []
    for value in v.T:
        trees = _Trees(x[train], value[train], num_stages=num_stages, seed=seed)
        importance.append(trees.importance)
        right.append(trees.predict(x[test]) == value[test])
        guessed.append(np.bincount(value[train]).argmax() == value[test])
    matrix = torch.from_numpy(np.stack(importance, axis=1))
    per_image = np.mean(right, axis=0)
    return DCI(
        disentanglement(matrix),
        completeness(matrix),
        float(per_image.mean()),
        float(per_image.std()) / math.sqrt(len(test)),
        float(np.mean(guessed)),
    )


def disentanglement(importance: Tensor) -> float:
    """Σ_j ρ_j (1 − H_F(P_j)), P_jk = R_jk / Σ_k R_jk, ρ_j = Σ_k R_jk / Σ R, entropy to base F.

    Args:
        importance: R of codes j for factors k, `(Z, F)`, at least 0. With F = 1 the value is 1, and
            0 where no code matters.
    """
    weights = importance.sum(1)
    if weights.sum() == 0:
        return 0.0
    scores = _concentration(shares(importance, dim=1))
    return ((weights / weights.sum()) @ scores).item()


def completeness(importance: Tensor) -> float:
    """The mean over factors k of 1 − H_Z(P_k), P_jk = R_jk / Σ_j R_jk, entropy to base Z.

    Args:
        importance: R of codes j for factors k, `(Z, F)`, at least 0. With Z = 1 the value is 1; a
            factor that no code matters for has 0.
    """
    told = (importance.sum(0) > 0).double()
    return (told * _concentration(shares(importance, dim=0).T)).mean().item()


def _concentration(p: Tensor) -> Tensor:
    """1 − H(p) / log n, `(B,)` for distributions `(B, n)`; 1 where n is 1."""
    if p.shape[1] == 1:
        return torch.ones(len(p), dtype=p.dtype)
    return 1 + torch.xlogy(p, p).sum(1) / math.log(p.shape[1])


class _Trees:
    """Boosted trees for one factor; where it has one value in training, that value."""

    def __init__(self, x: np.ndarray, value: np.ndarray, *, num_stages: int, seed: int) -> None:
        self.only = value[0] if (value == value[0]).all() else None
        self.importance = np.zeros(x.shape[1])
        if self.only is None:
            trees = GradientBoostingClassifier(n_estimators=num_stages, random_state=seed)
            self.trees = trees.fit(x, value)
            self.importance = trees.feature_importances_.astype(np.float64)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.only) if self.only is not None else self.trees.predict(x)
