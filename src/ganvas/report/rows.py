"""Runs, metrics, configs and groups as plain values for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganvas.report.asked import rated_metrics
from ganvas.report.collect import MetricValue, RunView
from ganvas.report.flat import digest, telling_keys, varying_keys
from ganvas.report.groups import group_keys, make_groups
from ganvas.tracking import redact, redact_text

_UNSHOWN = ("paths", "logger", "hydra")
"""Groups of keys that say where a run is kept or shown, never what it is."""


def plain(value: Any) -> Any:
    """What strict JSON can hold: NaN and infinities, and all that it has no form for, as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def metrics_of(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Every metric and its direction, the default one first, those without a direction last."""
    found: dict[str, bool | None] = {}
    for run in runs:
        for name, value in run.values.items():
            found[name] = value.higher if found.get(name) is None else found[name]
    others = sorted(found, key=lambda name: (found[name] is None, not name.startswith("test/")))
    order = dict.fromkeys([*rated_metrics(runs), *others])
    return [{"name": name, "higher": found[name]} for name in order]


def configs_of(runs: Sequence[RunView]) -> tuple[list[str], dict[str, Any]]:
    """Keys that differ between runs, those that tell them apart first; and what all share.

    A cell that has not begun knows only what was typed for it; what it lacks counts as equal.
    """
    first = next((_shown(run) for run in runs if run.facts), {})
    configs = [_shown(run) if run.facts else first | _shown(run) for run in runs]
    differing = varying_keys(configs)
    typed = list(dict.fromkeys(key for run in runs for key in run.typed))
    telling = telling_keys([{**c, "seed": None} for c in configs], typed=typed)
    last = ["seed"] if "seed" in differing else []
    keys = dict.fromkeys([*telling, *last, *differing])
    every = configs[0] if configs else {}
    shared = {key: plain(item) for key, item in every.items() if key not in keys}
    return list(keys), shared


def _shown(run: RunView) -> dict[str, Any]:
    """A record is redacted already; what was typed for a cell that has none is not."""
    config = run.config if run.facts else redact(run.config)
    return {k: v for k, v in config.items() if k.partition(".")[0] not in _UNSHOWN}


def run_of(run: RunView, *, keys: Sequence[str]) -> dict[str, Any]:
    """One run, without curves and pictures; its protocols by hash, see `protocols_of`."""
    config = _shown(run)
    return {
        "id": run.id,
        "name": run.name,
        "path": run.place,
        "label": redact_text(run.label),
        "status": run.status,
        "reason": run.reason and redact_text(run.reason),
        "seed": run.seed,
        "cell": run.cell,
        "group": run.group,
        "created": run.created,
        "finished": run.finished,
        "seconds": plain(run.seconds),
        "peak_mib": plain(run.peak_mib),
        "config": {key: plain(config[key]) for key in keys if key in config},
        "values": {name: _value(value) for name, value in run.values.items()},
        "protocols": {name: _hashes(value) for name, value in run.values.items()},
        "provenance": plain({**run.facts, "evaluations": list(map(_evaluation, run.evaluations))}),
    }


def _value(value: MetricValue) -> dict[str, Any]:
    numbers = {"final": value.final, "best": value.best, "step": value.step}
    return plain({**numbers, "uncertainty": value.uncertainty})


def _evaluation(stored: Mapping[str, Any]) -> dict[str, Any]:
    protocol = stored.get("protocol")
    return {**stored, "protocol": digest(protocol)} if protocol else dict(stored)


def protocols_of(runs: Sequence[RunView]) -> dict[str, Any]:
    """Every protocol once, by the hash that stands for it in runs and evaluations."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        later = [one["protocol"] for one in run.evaluations if one.get("protocol")]
        measured = [p for value in run.values.values() for p in _distinct(value).values()]
        for protocol in (*measured, *later):
            found.setdefault(digest(protocol), protocol)
    return {key: plain(protocol) for key, protocol in found.items()}


def _hashes(value: MetricValue) -> dict[str, str]:
    """By kind of weights."""
    known = {key: digest(protocol) for key, protocol in _distinct(value).items()}
    return {which: known[id(p)] for which, p in value.protocols.items() if p}


def _distinct(value: MetricValue) -> dict[int, Mapping[str, Any]]:
    """Best and final value mostly share one object."""
    return {id(protocol): protocol for protocol in value.protocols.values() if protocol}


def groups_of(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Runs with the same config but for the seed, in the order of `ganvas compare`."""
    groups = make_groups(
        runs, keys=group_keys(runs, None), by=None, metrics=(), value="best", unfinished=False
    )
    return [
        {
            "id": group.id,
            "label": redact_text(group.label) or group.runs[0].name,
            "runs": [run.id for run in group.runs],
        }
        for group in groups
    ]
