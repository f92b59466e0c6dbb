"""Values that change with the step (batches consumed): β, learning-rate factors, noise levels.

Each is a pure function of the step, so a resumed run needs no state to go on exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganvas.protocols import Schedule


@dataclass(frozen=True)
class ConstantSchedule:
    """The same value at every step."""

    value: float

    def __call__(self, step: int) -> float:
        """The value; `step` does not matter."""
        return self.value


@dataclass(frozen=True)
class LinearSchedule:
    """From `start` to `end` in `steps` batches, then `end`; `delay` batches of `start` before.

    The KL annealing of Bowman et al. 2016 is `start=0, end=1`.
    """

    start: float
    end: float
    steps: int
    delay: int = 0

    def __post_init__(self) -> None:
        _require_positive("LinearSchedule", "steps", self.steps)

    def __call__(self, step: int) -> float:
        """The value at `step`."""
        progress = min(max(step - self.delay, 0) / self.steps, 1.0)
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class CosineSchedule:
    """From `start` to `end` along half a cosine in `steps` batches (Loshchilov & Hutter 2017)."""

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _require_positive("CosineSchedule", "steps", self.steps)

    def __call__(self, step: int) -> float:
        """The value at `step`."""
        progress = min(step / self.steps, 1.0)
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class CyclicalSchedule:
    """Repeated linear ramps (Fu et al. 2019): `start` to `end` in the first `ramp` of each period.

    Args:
        start: value at the beginning of each period.
        end: value once the ramp is over.
        period: batches per cycle.
        ramp: share of the period spent rising, in (0, 1].
    """

    start: float
    end: float
    period: int
    ramp: float = 0.5

    def __post_init__(self) -> None:
        _require_positive("CyclicalSchedule", "period", self.period)
        if not 0 < self.ramp <= 1:
            raise ValueError(f"CyclicalSchedule: ramp must be in (0, 1], got {self.ramp}")

    def __call__(self, step: int) -> float:
        """The value at `step`."""
        progress = min((step % self.period) / (self.ramp * self.period), 1.0)
        return self.start + (self.end - self.start) * progress


@dataclass(frozen=True)
class WarmupSchedule:
    """Rises linearly to `after` in `steps` batches; then follows `after`, counted from zero."""

    steps: int
    after: float | Schedule

    def __post_init__(self) -> None:
        _require_positive("WarmupSchedule", "steps", self.steps)

    def __call__(self, step: int) -> float:
        """The value at `step`."""
        follow = as_schedule(self.after)
        if step < self.steps:
            return follow(0) * (step + 1) / self.steps
        return follow(step - self.steps)


@dataclass(frozen=True)
class ExponentialSchedule:
    """`start · rate^(step / steps)`: multiplied by `rate` every `steps` batches, smoothly."""

    start: float
    rate: float
    steps: int

    def __post_init__(self) -> None:
        _require_positive("ExponentialSchedule", "steps", self.steps)

    def __call__(self, step: int) -> float:
        """The value at `step`."""
        return self.start * self.rate ** (step / self.steps)


def as_schedule(value: float | Schedule) -> Schedule:
    """A number becomes a constant schedule; a schedule stays what it is."""
    return value if callable(value) else ConstantSchedule(float(value))


def lowest(value: float | Schedule) -> float:
    """The number itself, or the lowest of a schedule's first value and the ends that it names."""
    if not callable(value):
        return value
    named = getattr(value, "__dict__", {})
    ends = [lowest(named[name]) for name in ("start", "end", "after") if name in named]
    return min([value(0), *ends])


def _require_positive(owner: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{owner}: {name} must be at least 1 batch, got {value}")
