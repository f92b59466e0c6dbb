"""Directions of latent space that tell two sets of codes apart, and how well they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.metrics.ranks import auroc

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ITERATIONS = 2000
"""Of logistic regression."""

TOLERANCE = 1e-6
"""Of its gradient: with scikit-learn's 1e-4, entries of the direction are some per cent off."""


@dataclass(frozen=True)
class Direction:
    """Positions p(z) = n · (z − m₀), 0 at one mean and 1 at the other, and a way to raise them.

    Attributes:
        normal: n, with n · (m₁ − m₀) = 1, float64 `(Z,)`.
        origin: m₀, `(Z,)`.
        step: v, with n · v = 1, so that z + s v lies s further on, `(Z,)`.
    """

    normal: Tensor
    origin: Tensor
    step: Tensor

    @property
    def length(self) -> float:
        """|v|, to four digits after the point."""
        return round(float(self.step.norm()), 4)

    def positions(self, z: Tensor) -> Tensor:
        """p of codes `(N, Z)`, float64 `(N,)`."""
        return (z.double().cpu() - self.origin) @ self.normal


def difference(positive: Tensor, negative: Tensor) -> Direction:
    """v = m₁ − m₀, n = v / |v|²: from the mean of codes `(M, Z)` to that of codes `(N, Z)`.

    Raises:
        ValueError: if the means are the same.
    """
    origin = negative.double().mean(0)
    step = positive.double().mean(0) - origin
    squared = step.square().sum()
    if not squared > 0:
        raise ValueError("both sides must differ in their mean code, got one; choose others")
    return Direction(step / squared, origin, step)


def classifier_normal(positive: Tensor, negative: Tensor, *, inverse_penalty: float) -> Direction:
    """Along the normal of a logistic regression that tells codes `positive` from `negative`.

    Codes are shifted and scaled to mean 0 and variance 1, y = (z − μ)/σ, and both classes weigh the
    same. The logit w · y + b has the normal w among the y, which is the way that changes it fastest
    there: given back in code space, v ∝ σ w, where positions go by n ∝ w / σ. (To move along n
    itself would follow dimensions that the encoder hardly uses, where σ is small, and be seen in no
    image.) Nothing changes where the scales of codes do.

    Raises:
        ValueError: if the classes are not told apart.
    """
    from sklearn.linear_model import LogisticRegression

    z = torch.cat([negative, positive]).double()
    std = z.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    is_positive = (torch.arange(len(z)) >= len(negative)).numpy()
    model = LogisticRegression(
        C=inverse_penalty, class_weight="balanced", max_iter=MAX_ITERATIONS, tol=TOLERANCE
    ).fit(((z - z.mean(0)) / std).numpy(), is_positive)
    w = torch.from_numpy(model.coef_[0])
    origin = negative.double().mean(0)
    gap = w / std @ (positive.double().mean(0) - origin)
    if not gap > 0:
        raise ValueError(
            "a linear classifier must tell the classes apart, and finds nothing; choose other "
            "classes, or a greater tool.num"
        )
    return Direction(w / std / gap, origin, std * w * gap / w.square().sum())


@dataclass(frozen=True)
class Separation:
    """Positions along an axis of images that it was not found from.

    Attributes:
        positive: of images of the class, `(N,)`.
        negative: of the others, `(M,)`.
    """

    positive: Tensor
    negative: Tensor

    @property
    def auroc(self) -> float:
        """The chance that an image of the class lies further along than another image."""
        scores = torch.cat([self.positive, self.negative])
        return auroc(scores, torch.arange(len(scores)) < len(self.positive)).value

    @property
    def balanced_accuracy(self) -> float:
        """Of telling them apart at ½, half-way between the means: the mean over both classes."""
        right = (self.positive > 0.5).double().mean(), (self.negative <= 0.5).double().mean()  # noqa: PLR2004
        return float(sum(right) / 2)

    def paint(self, axes: Axes, names: tuple[str, str]) -> None:
        """Histograms of both; names are of the class and of the others."""
        everything = torch.cat([self.positive, self.negative])
        low, high = float(everything.min()), float(everything.max())
        bins = torch.linspace(low, high, 41).tolist()
        kinds = ((self.negative, names[1], "#717581"), (self.positive, names[0], "#e76300"))
        for positions, name, colour in kinds:
            weights = torch.full_like(positions, 100 / len(positions)).numpy()
            axes.hist(
                positions.numpy(), bins=bins, weights=weights, color=colour, alpha=0.6,
                label=f"{name} ({len(positions):,})",
            )  # fmt: skip
        axes.axvline(0.5, color="0.15", ls="--", lw=1, label="half-way")
        axes.set(xlabel="position: 0 and 1 are the means of training images")
        axes.set(ylabel="% of the class")
        axes.legend(frameon=False, fontsize=9)
