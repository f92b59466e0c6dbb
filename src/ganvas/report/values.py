"""The values in a run's record, and what they may be compared by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganvas.report.view import MetricValue


def read_values(record: Mapping[str, Any]) -> dict[str, MetricValue]:
    """By metric: those of training, and in their place the latest of `ganvas evaluate`."""
    values = {name: _trained(entry) for name, entry in (record.get("metrics") or {}).items()}
    directions = {name.partition("/")[2]: value.higher for name, value in values.items()}
    for stored in record.get("evaluations") or ():
        name = evaluation_name(stored)
        higher = directions.get(stored["name"])
        values[name] = MetricValue(
            **{_which(stored): float(stored["value"])},
            uncertainty=_number(stored.get("uncertainty")),
            higher=higher,
        )
    return values


def read_protocols(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any] | None]:
    """By metric; None where training recorded none."""
    names = dict.fromkeys(record.get("metrics") or {})
    later = {evaluation_name(e): e.get("protocol") for e in record.get("evaluations") or ()}
    return {**names, **(record.get("protocol") or {}), **later}


def evaluation_name(stored: Mapping[str, Any]) -> str:
    """`test/fid`; samples of another prior than the model's own are another metric."""
    prior = (stored.get("provenance") or {}).get("prior", "model")
    name = f"{stored['split']}/{stored['name']}"
    return name if prior == "model" else f"{name} (prior={prior})"


def _which(stored: Mapping[str, Any]) -> str:
    return "final" if str(stored.get("checkpoint")).endswith("last.ckpt") else "best"


def _trained(entry: Mapping[str, Any]) -> MetricValue:
    final, best = entry.get("final") or {}, entry.get("best") or {}
    return MetricValue(
        final=_number(final.get("value")),
        best=_number(best.get("value")),
        step=best.get("step", final.get("step")),
        higher=entry.get("higher_is_better"),
    )


def _number(stored: Any) -> float | None:
    return None if stored is None else float(stored)
