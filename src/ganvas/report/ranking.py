"""Runs compared: groups, the best of them where that may be said, and why not where it may not.

The best group of a metric is marked if the metric has a direction, every group with a finite mean
has at least two seeds, and all values were measured by one protocol. NaN and infinities are shown
and never best.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganvas.errors import ConfigError
from ganvas.report.asked import check_keys, choose_metrics, rated_metrics, suggestion
from ganvas.report.collect import Collection
from ganvas.report.flat import varying_keys
from ganvas.report.groups import (
    Group,
    group_keys,
    make_groups,
    natural,
    pooled_keys,
    repeats,
    shown,
    sort_groups,
    unbalanced,
)
from ganvas.report.values import Which
from ganvas.report.view import RunView

ENOUGH_SEEDS = 2
_SURE = 2.0  # standard errors of a difference
_NAMED = 4


@dataclass(frozen=True)
class Asked:
    """How to compare.

    Attributes:
        by: keys to group by; None for the whole config but the seed.
        metrics: to show; None for a handful.
        value: "best" or "final".
        unfinished: whether values of runs that did not finish count.
        sort: a key, a metric, "seconds" or "memory"; with `-` before it the other way round.
    """

    by: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    value: Which = "best"
    unfinished: bool = False
    sort: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Groups beside each other.

    Attributes:
        keys: that tell them apart.
        metrics: shown, with whether higher is better.
        groups: in order.
        best: ids of the best groups by metric (several where their means are equal), for metrics
            that may be ranked.
        value: "best": with the weights that validation selected where there are any; "final".
        notes: lines that say what is not ranked or averaged and why, what is not shown.
        problems: what could not be read.
    """

    keys: tuple[str, ...]
    metrics: Mapping[str, bool | None]
    groups: tuple[Group, ...]
    best: Mapping[str, frozenset[str]]
    value: Which
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def runs(self) -> list[RunView]:
        """Of all groups."""
        return [run for group in self.groups for run in group.runs]


def compare(collection: Collection, asked: Asked | None = None) -> Comparison:
    """Groups of a collection's runs.

    Raises:
        ConfigError: no run has a key or a metric that was asked for.
    """
    asked = asked or Asked()
    runs = collection.runs
    if asked.by is not None:
        check_keys(runs, asked.by)
    keys = group_keys(runs, asked.by)
    names = choose_metrics(runs, asked.metrics)
    groups = make_groups(
        runs,
        keys=keys,
        by=asked.by,
        metrics=names,
        value=asked.value,
        unfinished=asked.unfinished,
    )
    metrics = {name: _direction(runs, name) for name in names}
    groups = _sorted(groups, asked.sort, keys=keys, metrics=metrics)
    best, notes = {}, []
    for name, higher in metrics.items():
        if fault := _unrankable(groups, name, higher, asked):
            notes.append(f"{name}: {fault}")
            continue
        best[name] = _best(groups, name, higher=bool(higher))
        notes += [f"{name}: {doubt}" for doubt in _doubts(groups, name, best[name])]
    notes += [*_value_notes(groups, metrics, asked), *_group_notes(groups, runs, keys, asked)]
    if asked.metrics is None and (more := [m for m in rated_metrics(runs) if m not in metrics]):
        notes.append(f"more metrics: {', '.join(more)} (metric=NAME or metric=[NAME,NAME])")
    return Comparison(
        tuple(keys), metrics, tuple(groups), best, asked.value, tuple(notes), collection.problems
    )


def _direction(runs: Sequence[RunView], name: str) -> bool | None:
    return next((run.values[name].higher for run in runs if name in run.values), None)


def _rivals(groups: Sequence[Group], name: str) -> list[tuple[float, Group]]:
    """Groups with a finite mean."""
    means = [(group.values[name].mean, group) for group in groups]
    return [(mean, group) for mean, group in means if mean is not None and math.isfinite(mean)]


def _unrankable(
    groups: Sequence[Group], name: str, higher: bool | None, asked: Asked
) -> str | None:
    """Why no group is marked best; or None."""
    protocols = {k: p for group in groups for k, p in group.values[name].protocols.items()}
    rivals = _rivals(groups, name)
    if len(protocols) > 1:
        told = protocol_difference(list(protocols.values()))
        return f"not ranked: protocols differ in {told}"
    if len(rivals) <= 1:
        return None
    if higher is None:
        return "not ranked: neither higher nor lower is better"
    if asked.unfinished and any(run.status != "finished" for g in groups for run in g.counted):
        return "not ranked: values of unfinished runs are counted"
    few = [group for _, group in rivals if group.values[name].count < ENOUGH_SEEDS]
    if few:
        which = _listed([group.label or "all runs" for group in few])
        return f"not ranked: each group needs {ENOUGH_SEEDS} seeds; one seed alone in {which}"
    return None


def protocol_difference(protocols: Sequence[Mapping[str, Any]]) -> str:
    """`num (297, 2000), features (classifier, none)`: fields in which protocols differ."""
    fields = varying_keys(protocols)
    told = []
    for field in fields[:_NAMED]:
        held = sorted((p.get(field, "none") for p in protocols), key=natural)
        values = dict.fromkeys(map(_short, held))
        told.append(f"{field} ({', '.join(values)})")
    more = len(fields) - len(told)
    return ", ".join([*told, *([f"{more} more"] if more else [])])


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 16 else f"{text[:12]}…"  # noqa: PLR2004


def _best(groups: Sequence[Group], name: str, *, higher: bool) -> frozenset[str]:
    rivals = _rivals(groups, name)
    if len(rivals) <= 1:
        return frozenset()
    means = [mean for mean, _ in rivals]
    top = max(means) if higher else min(means)
    return frozenset(group.id for mean, group in rivals if mean == top)


def _doubts(groups: Sequence[Group], name: str, best: frozenset[str]) -> Iterator[str]:
    """A lead within what seeds make of it; a mean of those runs alone that did not fail."""
    first = [group for group in groups if group.id in best]
    for group in first:
        left = sum(run.status in ("failed", "killed") for run in group.runs)
        if left:
            yield f"the best mean, of {group.label}, leaves out {left} that failed"
    rest = [g.values[name] for _, g in _rivals(groups, name) if g.id not in best]
    if len(first) != 1 or not rest:
        return
    lead = first[0].values[name]
    near = sum(
        abs((lead.mean or 0.0) - (other.mean or 0.0))
        <= _SURE * math.hypot(lead.error or 0.0, other.error or 0.0)
        for other in rest
    )
    if near:
        groups_told = "one other group is" if near == 1 else f"{near} other groups are"
        yield f"{groups_told} within two standard errors of the best"


def _value_notes(
    groups: Sequence[Group], metrics: Mapping[str, bool | None], asked: Asked
) -> Iterator[str]:
    """Values that are missing, mixed, or of the last weights where the best ones were wanted."""
    for name in metrics:
        lacking = [run for group in groups for run in group.values[name].lacking]
        if lacking:
            word = "final value" if asked.value == "final" else "value"
            counted = sum(len(group.counted) for group in groups)
            yield f"{name}: no {word} in {_runs(lacking, of=counted)}"
        for group in groups:
            protocols = list(group.values[name].protocols.values())
            if len(protocols) > 1:
                told = protocol_difference(protocols)
                yield f"{name}: not averaged in {group.label or 'one group'}: differs in {told}"
        kinds: dict[str, list[RunView]] = {}
        for run in (run for group in groups for run in group.counted if name in run.values):
            number, which = shown(run.values[name], asked.value)
            if number is not None and math.isfinite(number):  # NaN is never selected
                kinds.setdefault(which, []).append(run)
        if len(kinds) > 1:
            told = _runs(kinds["final"], of=sum(map(len, kinds.values())))
            yield f"{name}: of the last weights, as no checkpoint was selected, in {told}"


def _group_notes(
    groups: Sequence[Group], runs: Sequence[RunView], keys: Sequence[str], asked: Asked
) -> Iterator[str]:
    """What the groups hold that one might not expect."""
    for group in groups:
        for run, times in repeats(group):
            yield f"{run.label}: run {times} times; averaged, counted as one seed"
    pooled = dict.fromkeys(key for group in groups for key in pooled_keys(group))
    if pooled:
        yield (
            f"groups hold runs that differ in {_listed(list(pooled))} too; runs of one seed are "
            "averaged first"
        )
    if uneven := [group.label for group in groups if unbalanced(group)]:
        yield f"not every config has every seed, which shifts the mean, in {_listed(uneven)}"
    if asked.by is None:
        along = [k for k in varying_keys([run.deciding for run in runs]) if k not in keys]
        if along:
            yield f"differ along with {' and '.join(keys)}: {_listed(along)}"
    yield from mixed_projects(runs)


def mixed_projects(runs: Sequence[RunView]) -> list[str]:
    """A line where runs are of several W&B projects."""
    named = {str(run.config["logger.project"]) for run in runs if run.config.get("logger.project")}
    return [f"runs of {len(named)} projects: {_listed(sorted(named))}"] if len(named) > 1 else []


def _runs(runs: Sequence[RunView], *, of: int) -> str:
    return f"{len(runs)} of {of} runs ({_listed([run.label for run in runs])})"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _sorted(
    groups: Sequence[Group],
    sort: str | None,
    *,
    keys: Sequence[str],
    metrics: Mapping[str, bool | None],
) -> list[Group]:
    """By what was asked for: of a metric with a direction the best first, else ascending.

    Raises:
        ConfigError: there is no such column.
    """
    if sort is None:
        return list(groups)
    name = sort.removeprefix("-")
    down = sort.startswith("-")
    if name in metrics:
        return sort_groups(
            groups, lambda group: group.values[name].mean, down=down != bool(metrics[name])
        )
    if name == "seconds":
        return sort_groups(groups, lambda group: group.seconds, down=down)
    if name == "memory":
        return sort_groups(groups, lambda group: group.peak_mib.get("process"), down=down)
    if name in keys:
        return sort_groups(groups, lambda group: group.keys.get(name), down=down)
    columns = [*keys, *metrics, "seconds", "memory"]
    raise ConfigError(f"sort={sort}: no such column{suggestion(name, columns)}")
