"""A sweep's driver is killed, and nothing that was done is lost or done again."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sweeps import (
    TINY,
    Drive,
    cells,
    drive,
    figures,
    finished_trees,
    killed_at_save,
    run_of,
    states,
    steps_of,
    sweep_folder,
    weights,
)

SWEEP = ("train", "-m", *TINY, "seed=0,1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody disturbed; for reading only."""
    place = tmp_path_factory.mktemp("whole")
    assert drive(place, *SWEEP).code() == 0
    sweep = sweep_folder(place)
    assert sweep is not None
    return sweep


def moment(place: Path, *, cell: int, steps: int) -> Callable[[], bool]:
    """That cell has trained for so many steps."""

    def reached() -> bool:
        sweep = sweep_folder(place)
        if sweep is None:
            return False
        known = cells(sweep)[cell]
        return bool(known["run"]) and (steps_of(sweep, cell) >= steps or known["state"] == "done")

    return reached


def chosen(place: Path, index: int, state: str) -> Callable[[], bool]:
    """That cell is said to be so."""
    return lambda: (sweep := sweep_folder(place)) is not None and states(sweep)[index] == state


def goes_on(place: Path, whole: Path) -> Path:
    """Resume a killed sweep: what was finished stays, and all is as if it had never happened."""
    sweep = sweep_folder(place)
    assert sweep is not None
    before = finished_trees(sweep)
    again = drive(place, "sweep", "resume", str(sweep))
    assert again.code() == 0, again.out.read_text()
    assert states(sweep) == ["done"] * 2
    after = finished_trees(sweep)
    assert {name: after[name] for name in before} == before
    for index in range(2):
        ours, theirs = run_of(sweep, index), run_of(whole, index)
        torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=0)
        assert figures(ours) == figures(theirs)
        assert (ours / "trace.csv").read_bytes() == (theirs / "trace.csv").read_bytes()
    return sweep


SLOW = pytest.mark.slow  # the others show as much, and `make test` is to be quick


@pytest.mark.parametrize(
    "when", ["before its folder", "in training", pytest.param("between cells", marks=SLOW)]
)
def test_a_sweep_whose_driver_was_killed_goes_on(when: str, whole: Path, tmp_path: Path) -> None:
    moments = {
        "before its folder": chosen(tmp_path, 0, "running"),
        "in training": moment(tmp_path, cell=1, steps=15),
        "between cells": chosen(tmp_path, 0, "done"),
    }
    driver = drive(tmp_path, *SWEEP)
    driver.until(moments[when])
    driver.kill()
    sweep = sweep_folder(tmp_path)
    assert sweep is not None
    if when == "before its folder":  # and while its job is still ending
        goes_on(tmp_path, whole)
        return
    assert driver.code() == -signal.SIGKILL
    goes_on(tmp_path, whole)


@pytest.mark.parametrize("number", [pytest.param(2, marks=SLOW), 3])
def test_a_driver_killed_as_it_writes_its_manifest(
    number: int, whole: Path, tmp_path: Path
) -> None:
    driver = drive(tmp_path, *SWEEP, hook=killed_at_save(number))
    assert driver.code() == -signal.SIGKILL
    sweep = sweep_folder(tmp_path)
    assert sweep is not None
    assert list(sweep.glob(".sweep.json.*.tmp"))
    goes_on(tmp_path, whole)
    assert not list(sweep.glob(".*.tmp"))


def test_a_sweep_killed_before_its_manifest_leaves_none(tmp_path: Path) -> None:
    assert drive(tmp_path, *SWEEP, hook=killed_at_save(1)).code() == -signal.SIGKILL
    assert sweep_folder(tmp_path) is None
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(30))
def test_kills_at_random(draw: int, whole: Path, tmp_path: Path) -> None:
    """Several of them, of the driver or of a job, each after a random number of steps."""
    rng = random.Random(draw)
    driver = drive(tmp_path, *SWEEP, f"hydra.launcher.n_jobs={rng.choice([1, 1, 2])}")
    sweep: Path | None = None
    for _ in range(rng.randint(1, 4)):
        cell, steps = rng.randrange(2), rng.randrange(40)
        reached = moment(tmp_path, cell=cell, steps=steps)
        _wait(driver, reached)
        driver.kill()
        driver.code()
        sweep = sweep_folder(tmp_path)
        if sweep is None or all(state == "done" for state in states(sweep)):
            break
        driver = drive(tmp_path, "sweep", "resume", str(sweep))
    driver.code()
    assert sweep is not None
    goes_on(tmp_path, whole)


def _wait(driver: Drive, condition: Callable[[], bool]) -> None:
    """Until that is so, or the process has ended."""
    driver.until(lambda: condition() or not driver.process.is_alive())
