"""Searches whose cells are not trained: what a run would record is a formula of its parameters."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from ganvas.engine.grammar import parse
from ganvas.sweep import search as searching
from ganvas.sweep.manifest import Attempt, Cell, Manifest
from ganvas.sweep.search import Search, open_study
from ganvas.sweep.search_objective import Objective
from ganvas.sweep.search_plan import SearchPlan, recorded
from ganvas.sweep.search_settings import SearchSettings
from ganvas.sweep.search_space import parse_space

SPACE = ("x=interval(-4,4)", "tag=a,b", "n=range(1,6)")
Curve = Callable[[dict[str, Any]], Sequence[float]]


@pytest.fixture
def uncomposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are not composed: their config is what is set; and no file waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)

    def compose(overrides: Sequence[str], *, search: object) -> list[str]:
        del search
        return list(overrides)

    def check(overrides: Sequence[str], *, trust: Sequence[str]) -> SimpleNamespace:
        del trust
        settings = SimpleNamespace(name="run")
        return SimpleNamespace(config=values_in(overrides), settings=settings, choices={})

    monkeypatch.setattr(searching, "compose", compose)
    monkeypatch.setattr(searching, "check_composed", check)


def values_in(overrides: Sequence[str]) -> dict[str, Any]:
    """What overrides set."""
    return {one.get_key_element(): one.value() for one in parse(overrides)}


def bowl(config: dict[str, Any]) -> list[float]:
    """Validations of a run: they fall towards a value that is least at x = 1, n = 3, tag = b."""
    least = (config["x"] - 1) ** 2 + (config["n"] - 3) ** 2 + (config["tag"] == "a")
    return [least + 2.0 ** (1 - k) for k in range(5)]


def planned(
    *space: str, metric: Sequence[str] = ("val/loss",), num_trials: int = 12, **settings: Any
) -> SearchPlan:
    """A plan that was not checked against a model."""
    values = {"study_name": "s", "metric": list(metric), "num_trials": num_trials, **settings}
    wanted = tuple(Objective(name, higher=False) for name in metric)
    chosen = SearchSettings.model_validate(values)
    plan = SearchPlan(chosen, parse_space(space or SPACE), wanted, num_trials)
    return recorded(json.loads(json.dumps(plan.record())))


def folder_of(place: Path, plan: SearchPlan) -> Manifest:
    """A sweep's folder."""
    place.mkdir(exist_ok=True)
    manifest = Manifest.create(place, command="", overrides=[], launcher={})
    manifest.content["study"] = plan.record()
    manifest.save()
    return manifest


def begin(manifest: Manifest, cell: Cell) -> Path:
    """As the driver does; the run's folder."""
    run = manifest.folder / "run" / f"{cell.index:04d}-{len(cell.attempts)}"
    run.mkdir(parents=True)
    cell.attempts.append(Attempt(run.relative_to(manifest.folder).as_posix(), "now", 1))
    cell.state = "running"
    manifest.save()
    return run


def write(run: Path, values: Sequence[float], *, first: int = 1, metric: str = "val/loss") -> None:
    """Rows of `metrics.csv`, ten steps to a validation."""
    with (run / "metrics.csv").open("a") as file:
        for count, value in enumerate(values, start=first):
            file.write(f"{10 * count},0,0.0,train/loss,9\n{10 * count},0,0.0,{metric},{value!r}\n")


def record(run: Path, metrics: dict[str, float], status: str = "finished") -> None:
    """A `run.json` with these final values."""
    entries = {
        name: {"final": {"value": value if math.isfinite(value) else str(value), "step": 50}}
        for name, value in metrics.items()
    }
    content = {"format_version": 1, "id": "abcdef", "status": status, "metrics": entries}
    (run / "run.json").write_text(json.dumps(content))


def train(search: Search, cell: Cell, curve: Curve = bowl) -> None:
    """A cell's whole life: it is told to end where the pruner says so."""
    manifest = search.manifest
    run = begin(manifest, cell)
    values = curve(values_in(cell.overrides))
    write(run, values)
    pruned = search.prune(cell)
    record(run, {"val/loss": values[-1]}, "interrupted" if pruned else "finished")
    cell.state, cell.reason = "done", pruned
    search.ended(cell)
    manifest.save()


def run_all(search: Search, *, most: int = 1000, curve: Curve = bowl) -> list[Cell]:
    """Run cells one after the other, at most so many; those that were run."""
    done: list[Cell] = []
    while len(done) < most and (cell := search.next()) is not None:
        train(search, cell, curve)
        done.append(cell)
    return done


def trials(manifest: Manifest, plan: SearchPlan) -> list[optuna.trial.FrozenTrial]:
    """Of its study."""
    return open_study(manifest, plan).get_trials()


def told(manifest: Manifest, plan: SearchPlan) -> list[tuple[Any, ...]]:
    """All that makes a study what it is, but for times and names."""
    return [
        (t.number, t.state.name, t.values, t.params, t.intermediate_values)
        for t in trials(manifest, plan)
    ]
