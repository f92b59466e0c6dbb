"""Runs in groups, with means and standard errors over seeds.

Rules:
- A group is what differs by its seed alone, or what has the same values of the keys asked for.
- The unit is the seed. Runs of one seed in a group (a run repeated; or other configs, where the
  group was asked for by a few keys) are averaged first and count as one.
- Only finished runs count, unless unfinished ones are asked for; all are shown.
- Values by different protocols are not averaged.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganvas.report.flat import ABSENT, digest, same, telling_keys
from ganvas.report.values import WHICH, Which
from ganvas.report.view import MetricValue, RunView


@dataclass(frozen=True)
class Statistic:
    """One metric in one group.

    Attributes:
        mean: over seeds; None where there is no value, or protocols differ within the group.
        error: standard error of the mean, s / √n with s² = Σ (x − mean)² / (n − 1); None for n = 1
            and where a value is NaN or infinite.
        count: seeds n.
        protocols: of the values, by digest.
        lacking: counted runs without a value.
    """

    mean: float | None
    error: float | None
    count: int
    protocols: Mapping[str, Mapping[str, Any]]
    lacking: tuple[RunView, ...]


@dataclass(frozen=True)
class Group:
    """Runs that are averaged.

    Attributes:
        id: of its config without the seed, or of its values of the keys asked for.
        label: `model=vae loss.beta=4`.
        keys: its values of the comparison's keys; a key that its runs have not is missing.
        runs: all of them.
        counted: those whose values count.
        values: by metric.
        seconds: mean of the counted runs.
        peak_mib: mean of the counted runs, by "process" and "gpu".
        counts: runs by status.
    """

    id: str
    label: str
    keys: Mapping[str, Any]
    runs: tuple[RunView, ...]
    counted: tuple[RunView, ...]
    values: Mapping[str, Statistic]
    seconds: float | None
    peak_mib: Mapping[str, float]
    counts: Mapping[str, int]

    @property
    def seeds(self) -> int:
        """Different seeds among the counted runs."""
        return len(set(map(seed_of, self.counted)))


def group_keys(runs: Sequence[RunView], by: Sequence[str] | None) -> list[str]:
    """The keys that tell the groups apart, groups of the config first."""
    if by is not None:
        return list(dict.fromkeys(by))
    typed = list(dict.fromkeys(key for run in runs for key in run.typed))
    configs = {run.group: run.deciding for run in runs}  # choices of one config may differ
    return telling_keys(list(configs.values()), typed=typed)


def make_groups(
    runs: Sequence[RunView],
    *,
    keys: Sequence[str],
    by: Sequence[str] | None,
    metrics: Sequence[str],
    value: Which,
    unfinished: bool,
) -> list[Group]:
    """Groups in the natural order of their keys.

    Args:
        runs: to put together.
        keys: see `group_keys`.
        by: keys to group by; None for the whole config but the seed.
        metrics: to average.
        value: "best": with the weights that validation selected, the last ones where none were.
        unfinished: whether values of runs that did not finish count.
    """
    found: dict[str, list[RunView]] = {}
    for run in runs:
        found.setdefault(run.group if by is None else _by(run, by), []).append(run)
    groups = [
        _group(name, members, keys=keys, metrics=metrics, value=value, unfinished=unfinished)
        for name, members in found.items()
    ]
    return sorted(groups, key=lambda group: [natural(group.keys.get(key)) for key in keys])


def _by(run: RunView, by: Sequence[str]) -> str:
    return digest({key: run.config[key] for key in by if key in run.config})


def _group(
    name: str,
    runs: Sequence[RunView],
    *,
    keys: Sequence[str],
    metrics: Sequence[str],
    value: Which,
    unfinished: bool,
) -> Group:
    config = runs[0].config
    values = {key: config[key] for key in keys if key in config}
    counted = [run for run in runs if unfinished or run.status == "finished"]
    parts = dict.fromkeys(part for run in counted for part in run.peak_mib)
    return Group(
        id=name,
        label=" ".join(" ".join(f"{k}={v}" for k, v in values.items()).split()),
        keys=values,
        runs=tuple(runs),
        counted=tuple(counted),
        values={metric: statistic(counted, metric, value) for metric in metrics},
        seconds=_mean(run.seconds for run in counted),
        peak_mib={part: _mean(run.peak_mib.get(part) for run in counted) or 0.0 for part in parts},
        counts=Counter(run.status for run in runs),
    )


def statistic(runs: Sequence[RunView], metric: str, value: Which) -> Statistic:
    """Mean and standard error over seeds of one metric."""
    by_seed: dict[Any, list[float]] = {}
    protocols: dict[str, Mapping[str, Any]] = {}
    lacking = []
    for run in runs:
        number, which = shown(run.values.get(metric), value)
        if number is None:
            lacking.append(run)
            continue
        protocol = run.values[metric].protocols.get(which, {})
        protocols[digest(protocol)] = protocol
        by_seed.setdefault(seed_of(run), []).append(number)
    seeds = [exact_mean(numbers) for numbers in by_seed.values()]
    known = bool(seeds) and len(protocols) == 1
    finite = known and all(map(math.isfinite, seeds)) and len(seeds) > 1
    return Statistic(
        mean=exact_mean(seeds) if known else None,
        error=statistics.stdev(seeds) / math.sqrt(len(seeds)) if finite else None,
        count=len(seeds),
        protocols=protocols,
        lacking=tuple(lacking),
    )


def shown(found: MetricValue | None, value: Which) -> tuple[float | None, Which]:
    """The number to show, and with which weights it was measured."""
    numbers = {} if found is None else {"best": found.best, "final": found.final}
    order: Sequence[Which] = WHICH if value == "best" else ("final",)
    return next(((n, w) for w in order if (n := numbers.get(w)) is not None), (None, value))


def seed_of(run: RunView) -> Any:
    """A run without a seed is one of its own."""
    return run.id if run.seed is None else run.seed


def exact_mean(numbers: Sequence[float]) -> float:
    """Rounded once; NaN or infinite where a number is."""
    finite = all(map(math.isfinite, numbers))
    return statistics.mean(numbers) if finite else sum(numbers) / len(numbers)


def _mean(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return exact_mean(known) if known else None


def natural(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then text; a missing value comes first."""
    if value is None or value == ABSENT:
        return (0, 0.0, "")
    if isinstance(value, int | float) and not math.isnan(value):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def pooled_keys(group: Group) -> list[str]:
    """Keys in which the configs of one group differ; empty where the seed is all."""
    return telling_keys(list({run.group: run.deciding for run in group.runs}.values()))


def repeats(group: Group) -> list[tuple[RunView, int]]:
    """A run for each config and seed that was run several times and counts, and how often."""
    found: dict[tuple[str, str], list[RunView]] = {}
    for run in group.counted:
        found.setdefault((run.group, same(seed_of(run))), []).append(run)
    return [(many[0], len(many)) for many in found.values() if len(many) > 1]


def unbalanced(group: Group) -> bool:
    """Whether its seeds are of different configs, so that a seed's mean is also a config's."""
    found: dict[Any, set[str]] = {}
    for run in group.counted:
        found.setdefault(seed_of(run), set()).add(run.group)
    return any(configs != next(iter(found.values())) for configs in found.values())


SortKey = Callable[[Group], Any]


def sort_groups(groups: Sequence[Group], key: SortKey, *, down: bool) -> list[Group]:
    """Groups by a number or a config value; those without one, or with NaN, come last."""

    def known(group: Group) -> bool:
        value = key(group)
        return not (value is None or (isinstance(value, float) and math.isnan(value)))

    have = sorted(filter(known, groups), key=lambda group: natural(key(group)), reverse=down)
    return [*have, *(group for group in groups if not known(group))]
