"""What is accepted trains: configs with other values of the same kind, for two batches."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from any_values import composed, keys
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ganvas.engine.check import check_build, check_plain
from ganvas.engine.compose import options
from ganvas.engine.train import train_checked
from ganvas.errors import GanvasError, GanvasWarning

QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
KEPT = ("paths", "test", "name", "resume", "init_from", "check", "trainer.max_steps")
KEPT += ("trainer.max_epochs", "trainer.accelerator", "trainer.devices", "trainer.num_nodes")
"""Keys that say where and how long: the test chooses these."""

WEIGHTS, SIDE = 3_000_000, 64
"""What is larger trains as well, but not within a test."""


def near(value: Any) -> st.SearchStrategy[Any]:
    """Values of the kind that stands there: they are mostly accepted."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int):
        return st.sampled_from([1, 2, 3, 4, 5, 8, 16, 17])
    if isinstance(value, float):
        return st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 2.0, 1e-9])
    return st.sampled_from([1, 2, 0.5, True, 16])


@st.composite
def cases(draw: st.DrawFn, models: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """A model, and up to three of its keys with other values, one of which holds nothing now."""
    model = draw(st.sampled_from(models))
    leaves = {".".join(path): at(model, path) for path in keys(model)}
    free = {
        key: value for key, value in leaves.items() if not key.startswith(KEPT) and "._" not in key
    }
    filled = sorted(key for key, value in free.items() if isinstance(value, int | float))
    void = sorted(key for key, value in free.items() if value is None)
    picked = draw(st.lists(st.sampled_from(filled), min_size=1, max_size=2, unique=True))
    picked += draw(st.sampled_from([[]] * 3 * len(void) + [[key] for key in void]))
    return model, {key: draw(near(free[key])) for key in picked}


def at(model: str, path: tuple[str, ...]) -> Any:
    node: Any = composed(model)[0]
    for name in path:
        node = node[name]
    return node


def trains(case: tuple[str, dict[str, Any]]) -> bool:
    """Whether it was accepted and small; then it has trained two batches."""
    model, changes = case
    note(f"{case}")
    config = copy.deepcopy(composed(model)[0])
    for key, value in changes.items():
        node = config
        *before, last = key.split(".")
        for name in before:
            node = node[name]
        node[last] = value
    config |= {"test": False}
    config["trainer"] |= {"max_steps": 2, "progress_bar": False}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", GanvasWarning)  # of what trains badly, but trains
        for name in config["paths"]:
            config["paths"][name] = f"{folder}/{name}"
        try:
            checked = check_plain(config, choices=composed(model)[1])
            data, built = check_build(checked)
        except GanvasError:
            return False
        size = sum(weight.numel() for weight in built.parameters())
        if size > WEIGHTS or max(data.image_shape or [0]) > SIDE:
            return False
        return trained(checked, Path(folder))


def trained(checked: Any, folder: Path) -> bool:
    """Two batches; what only the images tell may still be refused, before there is a run."""
    try:
        outcome = train_checked(checked)
    except GanvasError:
        assert not list(folder.rglob("run.json"))
        return False
    told = str(outcome.reason)
    diverged = isinstance(outcome.error, GanvasError) and ("NaN" in told or "inf" in told.lower())
    assert outcome.exit_code == 0 or diverged, told
    trace = (outcome.folder / "trace.csv").read_text().splitlines()
    assert outcome.exit_code or len(trace) == 3
    assert outcome.exit_code or all(math.isfinite(float(v)) for v in trace[-1].split(",") if v)
    return True


QUICK = ("vae", "dcgan", "ae", "vq_vae")


def run(models: tuple[str, ...], num: int, at_least: int) -> None:
    """`num` cases, of which so many must have trained."""
    ends: list[bool] = []

    @settings(max_examples=num, **QUIET)
    @given(cases(models))
    def each(case: tuple[str, dict[str, Any]]) -> None:
        ends.append(trains(case))

    each()
    assert sum(ends) >= at_least, f"only {sum(ends)} of {len(ends)} were accepted"


def test_what_is_accepted_trains_two_batches() -> None:
    run(QUICK, 9, 3)


@pytest.mark.slow
def test_what_is_accepted_of_any_model_trains_two_batches() -> None:
    run(tuple(options("model")), 400, 150)
