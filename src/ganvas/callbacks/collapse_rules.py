"""The signs by which a collapse of training is known."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

PERFECT = 0.99
"""Accuracy from which on a critic tells all images."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has to say of new figures.

    Attributes:
        collapsed: whether its sign is there.
        value: the figure that tells.
        reason: what it means, with value and threshold.
    """

    collapsed: bool
    value: float
    reason: str


class Rule(ABC):
    """Abstract: one sign of collapse.

    Attributes:
        name: in `run.json`.
    """

    name: str

    @abstractmethod
    def judge(self, figures: Mapping[str, float], *, step: int) -> Finding | None:
        """What finite figures say; None where they lack those of this rule."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of earlier figures."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027  (nothing)
        """Take its memory up."""


class CriticLossIsZero(Rule):
    """A critic that is always right teaches nothing: its loss is in [0, threshold).

    Only where real and fake accuracy are both at least 0.99: the losses of Wasserstein critics
    pass through 0, and some methods log no accuracy and are not judged.
    """

    name = "critic_loss"

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def judge(self, figures: Mapping[str, float], *, step: int) -> Finding | None:
        """Of a window's means."""
        del step
        parts = ("critic_loss", "real_accuracy", "fake_accuracy")
        names = [f"train/{part}" for part in parts]
        if not all(name in figures for name in names):
            return None
        loss, *accuracies = (figures[name] for name in names)
        return Finding(
            0 <= loss < self.threshold and min(accuracies) >= PERFECT,
            loss,
            f"critic_loss {loss:.3g} is under {self.threshold:g} and the critic is always right",
        )


class GradientsExplode(Rule):
    """A window's mean gradient norm is over `factor` times the median of the earlier windows.

    Args:
        part: name of the norm.
        factor: over the median.
        warmup: windows before the first judgement, at least 1.
    """

    def __init__(self, part: str, factor: float, *, warmup: int) -> None:
        self.name = part
        self.factor, self.warmup = factor, warmup
        self.earlier: list[float] = []

    def judge(self, figures: Mapping[str, float], *, step: int) -> Finding | None:
        """Of a window's mean."""
        del step
        value = figures.get(f"train/{self.name}")
        if value is None:
            return None
        usual = median(self.earlier) if len(self.earlier) >= self.warmup else math.inf
        self.earlier.append(value)
        return Finding(
            value > self.factor * usual > 0,
            value,
            f"{self.name} {value:.3g} is over {self.factor:g} times its median {usual:.3g}",
        )

    def state_dict(self) -> dict[str, Any]:
        """The earlier windows."""
        return {"earlier": list(self.earlier)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them up."""
        self.earlier = list(state["earlier"])


class DiversityDrops(Rule):
    """`val/diversity` is under a threshold, having been above it or from a step on.

    Args:
        threshold: 0 is all alike, 1 as diverse as the data.
        from_step: from which a generator must be above it at last; None for no such step.
    """

    name = "diversity"

    def __init__(self, threshold: float, *, from_step: int | None) -> None:
        self.threshold, self.from_step = threshold, from_step
        self.was_above = False

    def judge(self, figures: Mapping[str, float], *, step: int) -> Finding | None:
        """Of a validation's value."""
        value = figures.get("val/diversity")
        if value is None:
            return None
        due = self.was_above or (self.from_step is not None and step >= self.from_step)
        self.was_above = self.was_above or value >= self.threshold
        return Finding(
            value < self.threshold and due,
            value,
            f"diversity of the samples {value:.3g} is under {self.threshold:g}",
        )

    def state_dict(self) -> dict[str, Any]:
        """Whether it was above."""
        return {"was_above": self.was_above}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        self.was_above = bool(state["was_above"])


class MetricRebounds(Rule):
    """A metric is worse than its best by a factor.

    For one that should fall: value > factor · best. For one that should rise: value < best /
    factor. Below zero, where a factor would improve it, the other way round. A metric that
    crosses zero has no such factor; watch another.

    Args:
        metric: such as `val/fd`.
        factor: over 1.
        mode: which way is better.
    """

    name = "metric"

    def __init__(self, metric: str, factor: float, *, mode: Literal["min", "max"]) -> None:
        self.metric, self.factor, self.mode = metric, factor, mode
        self.best: float | None = None

    def judge(self, figures: Mapping[str, float], *, step: int) -> Finding | None:
        """Of a validation's value."""
        del step
        value = figures.get(self.metric)
        if value is None:
            return None
        best = value if self.best is None else (min, max)[self.mode == "max"](self.best, value)
        self.best = best
        grows = (best > 0) == (self.mode == "min")
        limit = best * self.factor if grows else best / self.factor
        worse = value > limit if self.mode == "min" else value < limit
        factor = f"{self.factor:g} times off its best"
        return Finding(worse, value, f"{self.metric} {value:.4g} is {factor} {best:.4g}")

    def state_dict(self) -> dict[str, Any]:
        """The best value."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        self.best = state["best"]
