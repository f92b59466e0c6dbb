"""Final and best value of each metric, as `run.json` keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, final


@final
class MetricSummary:
    """Final values, and best ones where a direction is known.

    NaN never counts as best: a run that diverged shows `final` NaN beside its earlier best.

    Args:
        stored: the `metrics` of a `run.json`, to go on from.
    """

    def __init__(self, stored: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._entries = {name: dict(entry) for name, entry in (stored or {}).items()}

    def update(self, name: str, value: float, *, step: int, higher_is_better: bool | None) -> None:
        """Takes one value; with `higher_is_better` None only the final value is kept."""
        entry = self._entries.setdefault(name, {})
        point = {"value": _storable(float(value)), "step": int(step)}
        entry["final"] = point
        if higher_is_better is None:
            return
        entry["higher_is_better"] = higher_is_better
        entry.setdefault("best", None)
        if math.isnan(value):
            return
        best = entry["best"]
        if best is None or _better(value, float(best["value"]), higher=higher_is_better):
            entry["best"] = dict(point)

    def set_best(self, name: str, value: float, *, step: int, higher_is_better: bool) -> None:
        """Fixes the best value from outside: a test value is not selected by itself."""
        entry = self._entries.setdefault(name, {})
        entry["higher_is_better"] = higher_is_better
        entry["best"] = {"value": _storable(float(value)), "step": int(step)}

    def rewind(self, step: int, *, rows: Iterable[tuple[int, str, float]]) -> None:
        """Forgets what came after `step`, from the rows (step, name, value) that remain."""
        stale = {name: entry for name, entry in self._entries.items() if _after(entry, step)}
        for name in stale:
            del self._entries[name]
        for row_step, name, value in rows:
            if name in stale:
                higher = stale[name].get("higher_is_better")
                self.update(name, value, step=row_step, higher_is_better=higher)

    def best(self) -> dict[str, float]:
        """The best value by metric, for those that have a direction and a value."""
        found = {name: entry.get("best") for name, entry in self._entries.items()}
        return {name: float(point["value"]) for name, point in found.items() if point}

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """What `run.json` stores under `metrics`."""
        return {name: dict(entry) for name, entry in self._entries.items()}


def _after(entry: Mapping[str, Any], step: int) -> bool:
    points = (entry.get("final"), entry.get("best"))
    return any(point is not None and point["step"] > step for point in points)


def _better(value: float, than: float, *, higher: bool) -> bool:
    return value > than if higher else value < than


def _storable(value: float) -> float | str:
    """JSON has no NaN or infinity: they become "nan", "inf" and "-inf" (`float` reads them)."""
    return value if math.isfinite(value) else str(value)
