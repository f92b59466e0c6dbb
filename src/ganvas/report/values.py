"""The values in a run's record, and what must be equal for two of them to be compared.

What `ganvas evaluate` and the measures of training recorded has a protocol, and that is it. A loss
of training has none, so we say what it depends on:

- the images: the data set's fingerprint, its binarisation and, for a value of the validation
  split, how that was cut off;
- the class of the likelihood, for all but `NEUTRAL` parts: nats under another p(x|z) are others;
- for `loss`, the objective itself, all of the loss: `loss` for β = 1 and β = 4 are two things;
- for `diversity`, its settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ganvas.report.flat import digest
from ganvas.report.view import MetricValue

Which = Literal["best", "final"]
WHICH: tuple[Which, Which] = ("best", "final")

NEUTRAL = ("reconstruction_mse", "diversity")
"""Parts that all families of models share: no likelihood enters."""

_OBJECTIVE = ("loss.", "penalty.", "model.", "likelihood.")


@dataclass(frozen=True)
class Reading:
    """One recorded value of a metric.

    Attributes:
        which: with which weights.
        value: the number.
        step: of the weights, where it is known.
        uncertainty: the estimator's standard error.
        higher: whether higher is better.
        protocol: what must be equal to compare it.
        key: hash of the protocol.
    """

    which: Which
    value: float
    step: int | None
    uncertainty: float | None
    higher: bool | None
    protocol: Mapping[str, Any]
    key: str


Readings = Mapping[str, Sequence[Reading]]
"""By metric, oldest first."""


def read_readings(record: Mapping[str, Any], decisive: Mapping[str, Any]) -> Readings:
    """All values in a `run.json`.

    Args:
        record: its content.
        decisive: the run's flat config.
    """
    found: dict[str, list[Reading]] = {}
    protocols = record.get("protocol") or {}
    for name, entry in (record.get("metrics") or {}).items():
        protocol = protocols.get(name) or loss_protocol(name, record, decisive)
        found[name] = [
            _reading(which, entry[which], entry.get("higher_is_better"), protocol)
            for which in WHICH
            if entry.get(which)
        ]
    for stored in record.get("evaluations") or ():
        which = _which(stored)
        if which is not None:
            provenance = stored.get("provenance") or {}
            point = {**stored, "step": provenance.get("step")}
            higher = stored.get("higher_is_better")
            reading = _reading(which, point, higher, stored["protocol"])
            found.setdefault(evaluation_name(stored), []).append(reading)
    return found


def loss_protocol(
    name: str, record: Mapping[str, Any], decisive: Mapping[str, Any]
) -> dict[str, Any]:
    """What a value of training without a protocol of its own depends on: see the module."""
    split, _, part = name.partition("/")
    protocol = {
        "dataset": decisive.get("dataset.name", decisive.get("dataset")),
        "split": split,
        "images": record.get("dataset_fingerprint"),
        "binarization": decisive.get("dataset.binarization"),
    }
    kept: tuple[str, ...] = ()
    if split == "val":
        kept += ("dataset.split_seed", "dataset.val_size")
    if part not in NEUTRAL:
        kept += ("likelihood._target_",)
    if part == "loss":
        kept += _OBJECTIVE
    if part == "diversity":
        kept += ("callbacks.diversity.",)
    settings = {k: v for k, v in decisive.items() if k.startswith(kept) and k != "model.latent_dim"}
    return {**protocol, **(settings if kept else {})}


def evaluation_name(stored: Mapping[str, Any]) -> str:
    """`test/fid`; samples of another prior than the model's own are another metric."""
    prior = (stored.get("provenance") or {}).get("prior", "model")
    name = f"{stored['split']}/{stored['name']}"
    return name if prior == "model" else f"{name} (prior={prior})"


def chosen_values(readings: Sequence[Readings]) -> list[dict[str, MetricValue]]:
    """One value per run, metric and kind of weights: that of the protocol which most runs have.

    So one run that was measured again with more samples stays comparable to the others; of two
    protocols that as many runs have, the one that was recorded last counts. Of several values by
    one protocol the latest one counts. A run without the chosen protocol shows its latest value.
    """
    directions = _directions(readings)
    values: list[dict[str, MetricValue]] = [{} for _ in readings]
    having: dict[str, list[tuple[Sequence[Reading], dict[str, MetricValue]]]] = {}
    for run, mine in zip(readings, values, strict=True):
        for name, found in run.items():
            having.setdefault(name, []).append((found, mine))
    for name, runs in having.items():
        for which in WHICH:
            shared = _shared_key([found for found, _ in runs], which)
            for found, mine in runs:
                if reading := _latest(found, which, shared):
                    mine[name] = _with(mine.get(name), reading, directions.get(name))
    return values


def _shared_key(runs: Sequence[Sequence[Reading]], which: Which) -> str | None:
    order = [list(dict.fromkeys(r.key for r in run if r.which == which)) for run in runs]
    held: dict[str, tuple[int, int]] = {}
    for keys in order:
        for age, key in enumerate(keys):
            count, oldest = held.get(key, (0, 0))
            held[key] = (count + 1, max(oldest, age))
    return max(held, key=lambda key: held[key], default=None)


def _latest(run: Sequence[Reading], which: Which, shared: str | None) -> Reading | None:
    mine = [reading for reading in run if reading.which == which]
    fit = [reading for reading in mine if reading.key == shared]
    return (fit or mine)[-1] if mine else None


def _with(value: MetricValue | None, reading: Reading, higher: bool | None) -> MetricValue:
    """The best one comes first: step and uncertainty are its."""
    before = value or MetricValue(step=reading.step, uncertainty=reading.uncertainty)
    values = {"best": before.best, "final": before.final, reading.which: reading.value}
    return replace(
        before,
        best=values["best"],
        final=values["final"],
        higher=higher,
        protocols={**before.protocols, reading.which: reading.protocol},
    )


def _directions(readings: Sequence[Readings]) -> dict[str, bool | None]:
    """By metric; one that was recorded without is taken from the same part of another split."""
    told: dict[str, set[bool]] = {}
    for run in readings:
        for name, mine in run.items():
            part = _part(name)
            told.setdefault(part, set()).update(r.higher for r in mine if r.higher is not None)
    single = {part: next(iter(ways)) for part, ways in told.items() if len(ways) == 1}
    return {name: single.get(_part(name)) for run in readings for name in run}


def _part(name: str) -> str:
    return name.partition("/")[2].partition(" (prior=")[0]


def _which(stored: Mapping[str, Any]) -> Which | None:
    """Other checkpoints than these two are listed among the evaluations alone."""
    file = str(stored.get("checkpoint")).rpartition("/")[2]
    return {"best.ckpt": "best", "last.ckpt": "final"}.get(file)  # type: ignore[return-value]


def _reading(
    which: Which, point: Mapping[str, Any], higher: bool | None, protocol: Mapping[str, Any]
) -> Reading:
    error = point.get("uncertainty")
    return Reading(
        which=which,
        value=float(point["value"]),
        step=point.get("step"),
        uncertainty=None if error is None else float(error),
        higher=higher,
        protocol=protocol,
        key=digest(protocol),
    )
