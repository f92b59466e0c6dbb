"""Learning curves of many runs in a bounded number of points.

Rule: all curves of a page have at most `num_points` points together. A curve has at most 200; when
there are more curves than that allows with 30 points each, fewer metrics are kept, those that stand
first in the order given. A curve that is too long is cut into stretches of equal length and each
gives its smallest and its largest value, at their own steps; first and last point are kept too. So
nothing that sticks out is lost, and no value is an average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganvas.report.view import Curve

MAX_POINTS = 200
MIN_POINTS = 30
_DIGITS = 7  # of a value in a figure; the table has all


def kept_points(length: int, values: Sequence[float], *, most: int) -> list[int]:
    """Positions of the points that a curve of `length` points keeps, ascending."""
    if length <= most:
        return list(range(length))
    stretches = max(1, (most - 2) // 2)
    kept = {0, length - 1}
    for stretch in range(stretches):
        begin = 1 + stretch * (length - 2) // stretches
        end = 1 + (stretch + 1) * (length - 2) // stretches
        numbers = [i for i in range(begin, end) if not math.isnan(values[i])]
        if numbers:
            kept |= {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)}
        else:
            kept.add(begin)
    return sorted(kept)


def thinned(curve: Curve, *, most: int) -> dict[str, list[Any]]:
    """A curve of at most `most` points as the page reads it: NaN and infinities as text."""
    kept = kept_points(len(curve.value), curve.value, most=most)
    return {
        "step": [curve.step[i] for i in kept],
        "images": [curve.images[i] for i in kept],
        "seconds": [round(curve.seconds[i], 3) for i in kept],
        "value": [figure(curve.value[i]) for i in kept],
    }


def figure(value: float) -> float | str:
    """With seven digits; NaN and infinities as text."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else str(value)


def fitting(
    curves: Mapping[str, Mapping[str, Curve]], *, order: Sequence[str], num_points: int
) -> tuple[dict[str, dict[str, dict[str, list[Any]]]], tuple[str, ...]]:
    """The curves of a page by run and metric, and the metrics that had to be left out.

    Args:
        curves: by run and metric.
        order: of metrics, the most important first; others come after these.
        num_points: that all of them may have together.
    """
    there = dict.fromkeys(name for of_run in curves.values() for name in of_run)
    place = {name: index for index, name in enumerate(order)}
    names = sorted(
        (name for name in there if not _lone_test(name, curves)),
        key=lambda name: place.get(name, len(place)),
    )
    kept, most = _share(names, curves, num_points=num_points)
    chosen = {
        run: {name: thinned(of_run[name], most=most) for name in kept if name in of_run}
        for run, of_run in curves.items()
    }
    return chosen, tuple(names[len(kept) :])


def _lone_test(name: str, curves: Mapping[str, Mapping[str, Curve]]) -> bool:
    """A test value is measured once, after training: no curve."""
    lengths = (len(of_run[name].value) for of_run in curves.values() if name in of_run)
    return name.startswith("test/") and max(lengths) <= 1


def _share(
    names: Sequence[str], curves: Mapping[str, Mapping[str, Curve]], *, num_points: int
) -> tuple[list[str], int]:
    """Which metrics are kept, and with how many points per curve."""
    spent = 0
    kept: list[str] = []
    lengths = {name: [len(c[name].value) for c in curves.values() if name in c] for name in names}
    for name in names:
        spent += sum(min(length, MIN_POINTS) for length in lengths[name])
        if kept and spent > num_points:
            break
        kept.append(name)
    for most in (MAX_POINTS, 150, 100, 75, 50, 40):
        if sum(min(n, most) for name in kept for n in lengths[name]) <= num_points:
            return kept, most
    return kept, MIN_POINTS
