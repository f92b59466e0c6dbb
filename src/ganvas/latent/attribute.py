"""Directions of latent space that tell two sets of codes apart, and how well they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ITERATIONS = 2000
"""Of logistic regression."""


@dataclass(frozen=True)
class Axis:
    """A direction with a scale: 0 is the one mean, 1 the other.

    Attributes:
        unit: u, of length 1, float64 `(Z,)`.
        origin: u · m₀.
        step: u · (m₁ − m₀), above 0.
    """

    unit: Tensor
    origin: float
    step: float

    @property
    def vector(self) -> Tensor:
        """step · u, `(Z,)`: what strength 1 adds to a code."""
        return self.step * self.unit

    def positions(self, z: Tensor) -> Tensor:
        """(u · z − origin) / step of codes `(N, Z)`, float64 `(N,)`."""
        return (z.double().cpu() @ self.unit - self.origin) / self.step


def axis(direction: Tensor, *, away: Tensor, to: Tensor) -> Axis:
    """The axis along a direction `(Z,)`, from the mean `away` to the mean `to`, `(Z,)` each.

    Raises:
        ValueError: if the direction does not lead from the one to the other.
    """
    length = direction.norm()
    step = float(direction @ (to - away) / length)
    if not step > 0:
        raise ValueError(
            "there must be a direction from the one mean code to the other, and there is none: "
            "both are the same; choose other images or labels"
        )
    unit = direction / length
    return Axis(unit, float(unit @ away), step)


def difference(positive: Tensor, negative: Tensor) -> Axis:
    """From the mean of codes `negative` `(M, Z)` to that of `positive` `(N, Z)`."""
    away, to = negative.double().mean(0), positive.double().mean(0)
    return axis(to - away, away=away, to=to)


def classifier_normal(positive: Tensor, negative: Tensor, *, inverse_penalty: float) -> Axis:
    """Along the normal of a logistic regression that tells `positive` from `negative` codes.

    Codes are shifted and scaled to mean 0 and variance 1, both classes weigh the same, and the
    logit w · (z − μ)/σ + b has the gradient w / σ in code space, which is the direction.
    """
    from sklearn.linear_model import LogisticRegression

    z = torch.cat([negative, positive]).double()
    std = z.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)
    is_positive = (torch.arange(len(z)) >= len(negative)).numpy()
    model = LogisticRegression(
        C=inverse_penalty, class_weight="balanced", max_iter=MAX_ITERATIONS
    ).fit(((z - z.mean(0)) / std).numpy(), is_positive)
    direction = torch.from_numpy(model.coef_[0]) / std
    return axis(direction, away=negative.double().mean(0), to=positive.double().mean(0))


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
        from sklearn.metrics import roc_auc_score

        is_positive = torch.cat([torch.ones(len(self.positive)), torch.zeros(len(self.negative))])
        scores = torch.cat([self.positive, self.negative])
        return float(roc_auc_score(is_positive.numpy(), scores.numpy()))

    @property
    def balanced_accuracy(self) -> float:
        """Of telling them apart at ½, half-way between the means: the mean over both classes."""
        right = (self.positive > 0.5).double().mean(), (self.negative <= 0.5).double().mean()  # noqa: PLR2004
        return float(sum(right) / 2)

    def paint(self, axes: Axes, names: tuple[str, str]) -> None:
        """Histograms of both; names are of the class and of the others."""
        everything = torch.cat([self.positive, self.negative])
        low, high = float(everything.min()), float(everything.max())
        bins = torch.linspace(low, high, 41).numpy()
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
