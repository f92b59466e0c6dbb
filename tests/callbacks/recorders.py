"""A recorder that keeps everything in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Kept:
    """What callbacks recorded, in order."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, int, dict[str, float]]] = []
        self.trace: dict[int, dict[str, float]] = {}
        self.pictures: dict[tuple[str, int], np.ndarray] = {}
        self.collapses: Any = None

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        assert seconds >= 0
        self.metrics.append((step, images_seen, dict(values)))

    def log_trace(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        for i, step in enumerate(steps):
            assert step not in self.trace
            row = {name: column[i] for name, column in columns.items()}
            self.trace[step] = {k: v for k, v in row.items() if not math.isnan(v)}

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        assert (name, step) not in self.pictures
        self.pictures[name, step] = image

    def log_collapses(self, collapses: Sequence[Mapping[str, object]]) -> None:
        self.collapses = [dict(event) for event in collapses]

    def means(self, name: str) -> dict[int, float]:
        """One metric's values by step."""
        return {step: values[name] for step, _, values in self.metrics if name in values}
