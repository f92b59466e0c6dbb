"""Runs, metrics, configs and groups as plain values for the page."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ganvas.report.collect import RunView
from ganvas.report.flat import telling_keys, varying_keys
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
    """Every metric and its direction, the default one first."""
    found: dict[str, bool | None] = {}
    for run in runs:
        for name, value in run.values.items():
            found[name] = value.higher if found.get(name) is None else found[name]
    return [{"name": name, "higher": higher} for name, higher in found.items()]


def configs_of(runs: Sequence[RunView]) -> tuple[list[str], dict[str, Any]]:
    """Keys that differ between runs, those that tell them apart first; and what all share.

    A cell that has not begun knows only what was typed for it; what it lacks counts as equal.
    """
    first = next((_shown(run.config) for run in runs if run.facts), {})
    configs = [_shown(run.config) if run.facts else first | _shown(run.config) for run in runs]
    differing = varying_keys(configs)
    typed = list(dict.fromkeys(key for run in runs for key in run.typed))
    telling = telling_keys([{**c, "seed": None} for c in configs], typed=typed)
    last = ["seed"] if "seed" in differing else []
    keys = dict.fromkeys([*telling, *last, *differing])
    every = configs[0] if configs else {}
    shared = {key: plain(item) for key, item in every.items() if key not in keys}
    return list(keys), shared


def _shown(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in config.items() if k.partition(".")[0] not in _UNSHOWN}


def run_of(run: RunView, *, keys: Sequence[str]) -> dict[str, Any]:
    """One run, without curves and pictures."""
    text = (lambda item: item) if run.facts else _redacted  # a record is redacted already
    return {
        "id": run.id,
        "name": run.name,
        "path": run.place,
        "label": text(run.label),
        "status": run.status,
        "reason": text(run.reason),
        "seed": run.seed,
        "cell": run.cell,
        "group": run.group,
        "created": run.created,
        "finished": run.finished,
        "seconds": plain(run.seconds),
        "peak_mib": plain(run.peak_mib),
        "config": {key: plain(text(run.config[key])) for key in keys if key in run.config},
        "values": {
            name: {
                "final": plain(value.final),
                "best": plain(value.best),
                "step": value.step,
                "uncertainty": plain(value.uncertainty),
            }
            for name, value in run.values.items()
        },
        "protocols": {name: _hash(p) for name, p in run.protocols.items() if p},
        "provenance": _provenance(run),
    }


def _redacted(value: Any) -> Any:
    return redact_text(value) if isinstance(value, str) else redact(value)


def _provenance(run: RunView) -> dict[str, Any]:
    protocol = {name: p for name, p in run.protocols.items() if p}
    return plain({**run.facts, "evaluations": run.evaluations, "protocol": protocol})


def _hash(protocol: Mapping[str, Any]) -> str:
    text = json.dumps(plain(protocol), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def groups_of(runs: Sequence[RunView]) -> list[dict[str, Any]]:
    """Runs with the same config but for the seed, in the order of their first ones."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        label = run.label.removesuffix(f"seed={run.seed}").strip() or run.name
        label = label if run.facts else redact_text(label)
        group = groups.setdefault(run.group, {"id": run.group, "label": label, "runs": []})
        group["runs"].append(run.id)
    return list(groups.values())
