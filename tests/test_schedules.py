"""Every schedule against values worked out by hand, at its edges and beyond."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from ganvas.schedules import (
    ConstantSchedule,
    CosineSchedule,
    CyclicalSchedule,
    ExponentialSchedule,
    LinearSchedule,
    WarmupSchedule,
    as_schedule,
    lowest,
)

HAND_VALUES = [
    (ConstantSchedule(0.3), {0: 0.3, 1: 0.3, 10**9: 0.3}),
    (LinearSchedule(start=0, end=1, steps=4), {0: 0, 1: 0.25, 3: 0.75, 4: 1, 5: 1, 10**9: 1}),
    (LinearSchedule(start=2, end=-2, steps=8), {0: 2, 2: 1, 4: 0, 8: -2, 9: -2}),
    (LinearSchedule(start=1, end=3, steps=2, delay=3), {0: 1, 3: 1, 4: 2, 5: 3, 6: 3}),
    (CosineSchedule(start=1, end=0, steps=4), {0: 1, 1: (1 + math.sqrt(0.5)) / 2, 2: 0.5, 4: 0}),
    (CosineSchedule(start=1, end=0.2, steps=6), {0: 1, 2: 0.8, 4: 0.4, 6: 0.2, 7: 0.2, 99: 0.2}),
    (
        CyclicalSchedule(start=0, end=1, period=10, ramp=0.5),
        {0: 0, 1: 0.2, 4: 0.8, 5: 1, 9: 1, 10: 0, 12: 0.4, 10**6: 0, 10**6 + 1: 0.2},
    ),
    (CyclicalSchedule(start=2, end=4, period=4, ramp=1.0), {0: 2, 1: 2.5, 3: 3.5, 4: 2, 7: 3.5}),
    (WarmupSchedule(steps=4, after=2.0), {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 100: 2.0}),
    (
        WarmupSchedule(steps=2, after=LinearSchedule(start=1, end=0, steps=4)),
        {0: 0.5, 1: 1.0, 2: 1.0, 3: 0.75, 6: 0.0, 7: 0.0},
    ),
    (
        ExponentialSchedule(start=8, rate=0.5, steps=2),
        {0: 8, 1: 8 * math.sqrt(0.5), 2: 4, 4: 2, 6: 1},
    ),
]


@pytest.mark.parametrize(("schedule", "values"), HAND_VALUES, ids=lambda v: type(v).__name__)
def test_hand_values(schedule: Callable[[int], float], values: dict[int, float]) -> None:
    got = {step: schedule(step) for step in values}
    assert got == pytest.approx(values, rel=1e-12, abs=1e-12)


def test_warmup_meets_what_follows_without_a_jump() -> None:
    follow = CosineSchedule(start=1, end=0, steps=10)
    schedule = WarmupSchedule(steps=5, after=follow)
    assert schedule(4) == schedule(5) == follow(0)
    rises = [schedule(s + 1) - schedule(s) for s in range(4)]
    assert rises == pytest.approx([0.2] * 4)


def test_exponential_multiplies_by_the_rate_every_steps_batches() -> None:
    schedule = ExponentialSchedule(start=3.0, rate=0.9, steps=7)
    for step in (0, 5, 13):
        assert schedule(step + 7) / schedule(step) == pytest.approx(0.9)


def test_a_number_is_a_constant_and_a_schedule_stays_itself() -> None:
    linear = LinearSchedule(start=0, end=1, steps=2)
    assert as_schedule(linear) is linear
    assert as_schedule(4)(123) == 4.0
    assert isinstance(as_schedule(4)(0), float)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearSchedule(start=0, end=1, steps=0), "LinearSchedule: steps .* got 0"),
        (lambda: CosineSchedule(start=0, end=1, steps=-3), "CosineSchedule: steps .* got -3"),
        (lambda: CyclicalSchedule(start=0, end=1, period=0), "CyclicalSchedule: period .* got 0"),
        (lambda: CyclicalSchedule(start=0, end=1, period=5, ramp=0.0), r"ramp .* got 0\.0"),
        (lambda: CyclicalSchedule(start=0, end=1, period=5, ramp=1.1), r"ramp .* got 1\.1"),
        (lambda: WarmupSchedule(steps=0, after=1.0), "WarmupSchedule: steps .* got 0"),
        (lambda: ExponentialSchedule(start=1, rate=0.5, steps=0), "ExponentialSchedule: steps"),
    ],
)
def test_an_impossible_length_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("value", "least"),
    [
        (0.5, 0.5),
        (-1, -1),
        (ConstantSchedule(-2.0), -2),
        (LinearSchedule(start=1, end=-3, steps=10), -3),
        (CosineSchedule(start=-1, end=2, steps=10), -1),
        (CyclicalSchedule(start=0, end=1, period=7), 0),
        (WarmupSchedule(steps=3, after=LinearSchedule(start=1, end=-1, steps=2)), -1),
        (lambda step: step - 4.0, -4),
    ],
)
def test_the_lowest_value(value: float | Callable[[int], float], least: float) -> None:
    assert lowest(value) == least
