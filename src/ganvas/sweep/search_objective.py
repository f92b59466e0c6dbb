"""What a search makes small or large: known before it begins, read when a trial ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ganvas.engine.compose import suggest
from ganvas.errors import ConfigError
from ganvas.sweep.search_settings import Direction, SearchSettings

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.sweep.cells import Planned


@dataclass(frozen=True)
class Objective:
    """One metric and where it should go.

    Attributes:
        name: of the metric, e.g. `test/elbo`.
        higher: whether higher is better.
    """

    name: str
    higher: bool

    @property
    def direction(self) -> Direction:
        """In Optuna's words."""
        return "maximize" if self.higher else "minimize"

    @property
    def watched(self) -> str:
        """Its values while a trial is trained: those of validation in a test metric's place."""
        return self.name.replace("test/", "val/", 1) if self.of_test else self.name

    @property
    def of_test(self) -> bool:
        """Whether it is measured once, when training is over."""
        return self.name.startswith("test/")


@dataclass(frozen=True)
class _Offer:
    """What a job will record: names, directions where they are known, its own monitor."""

    names: list[str]
    directions: dict[str, bool]
    monitor: str | None
    open: bool  # callbacks of one's own may log more


def objectives(settings: SearchSettings, planned: Sequence[Planned]) -> tuple[Objective, ...]:
    """The objectives of a search, from its settings and the corners of its space.

    Raises:
        ConfigError: a metric that a corner will not record, or a direction that nobody states.
    """
    corners = {tuple(sorted(p.checked.choices.items())): p for p in planned}
    offers = {corner.label: _offer(corner.checked) for corner in corners.values()}
    names = settings.metric or [_monitor(offers)]
    if len(set(names)) < len(names):
        raise ConfigError(f"hydra.sweeper.metric: two different metrics, got {names[0]} twice")
    given = settings.direction or [None] * len(names)
    if len(given) != len(names):
        raise ConfigError(
            f"hydra.sweeper.direction: one for each of {', '.join(names)}, got {len(given)}"
        )
    for corner in corners.values():
        _check_known(names, offers[corner.label], corner)
    return tuple(
        Objective(name, _higher(name, direction, names, list(offers.values())))
        for name, direction in zip(names, given, strict=True)
    )


def _offer(checked: Checked) -> _Offer:
    import torch

    from ganvas.engine.check import check_build
    from ganvas.engine.measures import Monitors, build_evaluations
    from ganvas.types import Batch

    data, model = check_build(checked)
    assert data.image_shape is not None
    with torch.device("meta"):
        images = torch.empty(min(2, data.batch_size), *data.image_shape)
        labels = None if data.num_classes is None else torch.zeros(len(images), dtype=torch.long)
        batch = Batch(images, labels)
        parts = [*model.training_parts(batch), *model.reconstruction_parts(batch)]
        evaluations = build_evaluations(checked, data)
    monitors = Monitors(checked, model, evaluations)
    directions = dict(monitors.directions)
    if model.monitor:
        directions.setdefault(model.monitor.partition("/")[2], model.monitor_mode == "max")
    callbacks = (checked.config.get("callbacks") or {}).values()
    foreign = any(c and not str(c.get("_target_")).startswith("ganvas.") for c in callbacks)
    splits = ["val", "test"] if checked.settings.test else ["val"]
    measured = dict.fromkeys([*parts, *monitors.directions])
    names = [f"{split}/{part}" for split in splits for part in measured]
    names += [f"train/{part}" for part in dict.fromkeys(parts)]
    return _Offer(names, directions, monitors.default, foreign)


def _monitor(offers: Mapping[str, _Offer]) -> str:
    found = {offer.monitor for offer in offers.values()}
    if len(found) == 1 and (monitor := found.pop()) is not None:
        return monitor
    raise ConfigError(
        "hydra.sweeper.metric: name the metric to search by, since "
        + (
            "these models select by different ones: " + ", ".join(sorted(map(str, found)))
            if found
            else "the model has no monitor of its own"
        )
    )


def _check_known(names: Sequence[str], offer: _Offer, corner: Planned) -> None:
    for name in names:
        if name in offer.names or offer.open:
            continue
        hint = suggest(name, offer.names)
        if name.startswith("test/") and not corner.checked.settings.test:
            hint = "; test=false leaves the test split out"
        model = corner.checked.choices.get("model", "?")
        raise ConfigError(
            f"hydra.sweeper.metric={name}: model={model} records no such metric{hint}"
        )


def _higher(name: str, given: str | None, names: Sequence[str], offers: Sequence[_Offer]) -> bool:
    if given is not None:
        return given == "maximize"
    part = name.partition("/")[2]
    known = {offer.directions.get(part) for offer in offers}
    if len(known) == 1 and (higher := known.pop()) is not None:
        return higher
    whole = "maximize" if len(names) == 1 else "[" + ",".join(["minimize"] * len(names)) + "]"
    raise ConfigError(
        f"hydra.sweeper.direction: whether {name} should rise or fall is not known; say so, e.g. "
        f"hydra.sweeper.direction={whole}"
    )


def values_of(metrics: Mapping[str, Mapping[str, Any]], wanted: Sequence[Objective]) -> list[float]:
    """A trial's values, from the `metrics` of its `run.json`.

    Of one objective, `best` where the record has it in that direction: for a validation metric
    its best value, for a test metric that of the checkpoint that validation selected; else `final`.
    Two objectives are always values of the same weights: both are test values of the selected
    checkpoint where the record has them for both, else both are final.

    Raises:
        ValueError: a value is missing or is not a number.
    """
    entries = [metrics.get(one.name) or {} for one in wanted]
    chosen = [
        bool(entry.get("best")) and entry.get("higher_is_better") is one.higher
        for entry, one in zip(entries, wanted, strict=True)
    ]
    several = len(wanted) > 1
    best = all(chosen) and not (several and not all(one.of_test for one in wanted))
    found = []
    for entry, one in zip(entries, wanted, strict=True):
        point = entry.get("best" if best else "final")
        if point is None:
            raise ValueError(f"{one.name} was not recorded")
        if math.isnan(value := float(point["value"])):
            raise ValueError(f"{one.name} is not a number")
        found.append(value)
    return found
