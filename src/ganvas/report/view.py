"""What a report knows of one run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganvas.tracking.tables import METRICS_FILE, AppendFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ViewStatus = Literal["queued", "running", "finished", "failed", "interrupted", "killed"]


@dataclass(frozen=True)
class MetricValue:
    """The values of one metric in one run; NaN and infinities are floats.

    Attributes:
        final: with the last weights.
        best: with the weights that validation selected (a test value), or the best value so far.
        step: of `best`, else of `final`.
        uncertainty: the estimator's standard error, where it has one.
        higher: whether higher is better; None for a metric without a direction.
        protocols: of `best` and of `final`: what must be equal to compare them.
    """

    final: float | None = None
    best: float | None = None
    step: int | None = None
    uncertainty: float | None = None
    higher: bool | None = None
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """One metric over training, in the order it was logged: four lists of equal length."""

    step: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    value: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class RunView:
    """One run folder, or one cell of a sweep that has none yet.

    Attributes:
        id: the folder's name, or `cell-<index>`; another in the same collection differs.
        name: of the run.
        path: its folder, absolute; of a cell without one, the sweep's.
        place: the same relative to the collection's root.
        label: what tells it from the others, `model=vae loss.beta=4 seed=0`; one line.
        status: "killed" is a run that says "running" while no process holds it.
        reason: one line, where it did not finish.
        seed: of the run.
        cell: its index in the sweep.
        created: ISO time.
        finished: ISO time.
        seconds: that it took, evaluation included.
        peak_mib: largest memory in MiB, by "process" and "gpu".
        config: the whole config, flat, the choice of a group under the group's name.
        deciding: the part of it that decides the result, without the seed; choices included.
        values: by metric, those of `ganvas evaluate` among them.
        protocols: by metric, what must be equal for two values to be compared; that of `best`
            where there is one.
        evaluations: what `ganvas evaluate` recorded, oldest first.
        facts: command, git, packages, hardware, config_hash, dataset_fingerprint, wandb.
        typed: keys that the user typed.
        group: hash of `deciding` without the choices: equal for runs that differ by their seed
            alone, however their config was put together.
    """

    id: str
    name: str
    path: Path
    place: str
    label: str
    status: ViewStatus
    reason: str | None
    seed: int | None
    cell: int | None
    created: str | None
    finished: str | None
    seconds: float | None
    peak_mib: Mapping[str, float]
    config: Mapping[str, Any]
    deciding: Mapping[str, Any]
    values: Mapping[str, MetricValue]
    protocols: Mapping[str, Mapping[str, Any]]
    evaluations: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]
    typed: tuple[str, ...]
    group: str

    def curves(self) -> dict[str, Curve]:
        """Curves by metric, read anew from `metrics.csv`; empty where there is none yet."""
        found: dict[str, Curve] = {}
        for step, images, seconds, name, value in read_rows(self.path):
            curve = found.setdefault(name, Curve())
            curve.step.append(step)
            curve.images.append(images)
            curve.seconds.append(seconds)
            curve.value.append(value)
        return found


def read_rows(folder: Path) -> Iterator[tuple[int, int, float, str, float]]:
    """Complete and sound rows of a run's `metrics.csv`, which may be growing right now."""
    try:
        lines = AppendFile(folder / METRICS_FILE).lines()
    except (OSError, UnicodeDecodeError):
        return
    for row in csv.reader(lines[1:]):
        try:
            step, images, seconds, name, value = row
            yield int(step), int(images), float(seconds), name, float(value)
        except ValueError:
            continue
