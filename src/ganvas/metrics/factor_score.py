"""The FactorVAE score: which code holds still when a factor does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ganvas.metrics.disentanglement import checked_pair


@dataclass(frozen=True, slots=True)
class FactorScore:
    """What `factor_score` finds.

    Attributes:
        accuracy: share of the test votes whose factor was named rightly.
        error: its standard error over the votes.
        chance: 1 / F, of F factors that vary.
        active: codes that took part.
    """

    accuracy: float
    error: float
    chance: float
    active: int


def factor_score(
    codes: Tensor,
    factors: Tensor,
    *,
    train_votes: int,
    test_votes: int,
    group_size: int,
    least_std: float,
    seed: int,
) -> FactorScore:
    """Accuracy of a majority vote on the code of least variance (Kim & Mnih 2018, sec. 4).

    arXiv:1802.05983. For a vote a factor k is drawn, then a value of it, then a group of images
    that all have this value. Each code's variance in the group is divided by that over all images;
    the code with the least one votes for k. The classifier names for each code the factor that it
    votes for most often in training; its accuracy on other votes is the score.

    Deviations: the groups are drawn, with replacement, from the images given, where the paper draws
    new ones; a value is drawn as often as images have it. The paper leaves out codes that collapsed
    to the prior; here those whose standard deviation over all images is below `least_std`, as in
    Locatello et al.'s code (0.05). If none is left, every vote is the same and chance is reached.

    Args:
        codes: `(N, Z)`.
        factors: values from 0, int64 `(N, F)`; factors of a single value are left out.
        train_votes: that the classifier is made of.
        test_votes: that it is judged by.
        group_size: images in a group.
        least_std: of a code that takes part.
        seed: of all draws.

    Raises:
        ValueError: if a number of votes or the group's size is too small, there are fewer than two
            images, numbers differ, a code is not finite, or no factor varies.
    """
    if min(train_votes, test_votes) < 1 or group_size < 2:  # noqa: PLR2004
        raise ValueError(
            "there must be at least 1 vote of each kind and 2 images in a group, got train_votes="
            f"{train_votes}, test_votes={test_votes}, group_size={group_size}"
        )
    codes, factors = checked_pair(codes, factors)
    std = codes.std(0, correction=0)
    active = (std > 0) & (std >= least_std)
    scaled = (codes[:, active] / std[active]).numpy()
    draws = _Draws(scaled, factors.numpy(), group_size=group_size, seed=seed)
    counts = np.zeros((max(scaled.shape[1], 1), factors.shape[1]))
    for code, factor in draws.votes(train_votes):
        counts[code, factor] += 1
    named = counts.argmax(1)
    right = sum(named[code] == factor for code, factor in draws.votes(test_votes))
    accuracy = float(right) / test_votes
    error = math.sqrt(accuracy * (1 - accuracy) / test_votes)
    return FactorScore(accuracy, error, 1 / factors.shape[1], int(active.sum()))


class _Draws:
    """Groups of images that share a factor's value, and the codes that vote for it."""

    def __init__(
        self, scaled: np.ndarray, factors: np.ndarray, *, group_size: int, seed: int
    ) -> None:
        self.scaled, self.factors, self.group_size = scaled, factors, group_size
        self.generator = np.random.default_rng(seed)
        self.members = [
            [np.flatnonzero(values == value) for value in range(values.max() + 1)]
            for values in factors.T
        ]

    def votes(self, num: int) -> list[tuple[int, int]]:
        """Codes and the factors that they vote for."""
        return [self._vote() for _ in range(num)]

    def _vote(self) -> tuple[int, int]:
        draw = self.generator
        factor = int(draw.integers(self.factors.shape[1]))
        value = self.factors[draw.integers(len(self.factors)), factor]
        group = draw.choice(self.members[factor][value], size=self.group_size)
        variances = self.scaled[group].var(0)
        return (int(variances.argmin()) if len(variances) else 0), factor
