"""Ask and tell: seeds, interruptions, twins, failures, grids, two objectives, shared storages."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from searches import (
    SPACE,
    begin,
    bowl,
    folder_of,
    planned,
    record,
    run_all,
    told,
    train,
    trials,
    uncomposed,
    values_in,
)

from ganvas.errors import RunError
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.search import Search

__all__ = ["uncomposed"]
pytestmark = pytest.mark.usefixtures("uncomposed")


def again(manifest: Manifest) -> Manifest:
    """The sweep as another process finds it after a kill."""
    found = Manifest.load(manifest.folder)
    for cell in found.cells:
        if cell.state == "running":
            cell.state = "interrupted"
    return found


def interrupted(manifest: Manifest) -> list[Any]:
    return [cell for cell in manifest.cells if cell.state in ("queued", "interrupted")]


@pytest.mark.parametrize(
    ("sampler", "left", "pruner"),
    [
        ("tpe", "cell running", "median"),
        ("tpe", "trial without a cell", "none"),
        ("random", "cell not yet begun", "halving"),
        ("grid", "trial without a cell", "median"),
    ],
)
def test_interrupted_and_gone_on_with_is_the_same_search(
    tmp_path: Path, sampler: str, left: str, pruner: str
) -> None:
    space = SPACE if sampler != "grid" else ("x=range(-4,4)", *SPACE[1:])
    pruning = {"startup_trials": 3, "warmup": 1}
    plan = planned(*space, num_trials=16, sampler=sampler, seed=5, pruner=pruner, pruning=pruning)
    whole = folder_of(tmp_path / "whole", plan)
    run_all(Search(whole, plan, at_once=1))

    parted = folder_of(tmp_path / "parted", plan)
    search = Search(parted, plan, at_once=1)
    run_all(search, most=11)
    cell = search.next()
    assert cell is not None
    if left == "cell running":
        begin(parted, cell)
    elif left == "trial without a cell":
        parted.cells.remove(cell)
        parted.save()
    parted = again(parted)
    run_all(Search(parted, plan, at_once=1, cells=interrupted(parted)))

    assert told(parted, plan) == told(whole, plan)
    assert len(told(whole, plan)) == 16
    states = {state for _, state, *_ in told(whole, plan)}
    assert states == ({"COMPLETE"} if pruner == "none" else {"COMPLETE", "PRUNED"})


def test_another_seed_is_another_search_and_tpe_learns(tmp_path: Path) -> None:
    found = {}
    for name, settings in {
        "tpe": {"seed": 0},
        "other": {"seed": 1},
        "random": {"seed": 0, "sampler": "random"},
    }.items():
        num = 1 if name == "other" else 30
        plan = planned("x=interval(-4,4)", num_trials=num, **settings)
        manifest = folder_of(tmp_path / name, plan)
        run_all(Search(manifest, plan, at_once=1), curve=lambda c: [(c["x"] - 1) ** 2])
        found[name] = told(manifest, plan)
    assert found["tpe"][0] != found["other"][0]
    late = {name: sum(t[2][0] for t in trials[15:]) for name, trials in found.items()}
    assert late["tpe"] < 0.5 * late["random"]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_grid_takes_each_point_once(tmp_path: Path, at_once: int) -> None:
    plan = planned("a=1,2,3", "b=range(0,1,0.25)", sampler="grid", num_trials=12)
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=at_once)
    out = []
    while cells := [cell for _ in range(5) if (cell := search.next()) is not None]:
        assert len(cells) <= at_once
        for cell in reversed(cells):
            train(search, cell, lambda config: [config["a"]])
            out.append(tuple(cell.overrides))
    points = itertools.product(["a=1", "a=2", "a=3"], ["b=0.0", "b=0.25", "b=0.5", "b=0.75"])
    assert Counter(out) == Counter(points)


def test_equal_configs_are_trained_once(tmp_path: Path) -> None:
    plan = planned("n=1,2,3", num_trials=10, sampler="random")
    manifest = folder_of(tmp_path / "s", plan)
    run_all(Search(manifest, plan, at_once=1), curve=lambda config: [10.0 * config["n"]])
    assert len(manifest.cells) == 3
    known = {int(t[3]["n"]): t[2] for t in told(manifest, plan)}
    assert known == {1: [10.0], 2: [20.0], 3: [30.0]}
    assert len(told(manifest, plan)) == 10


def test_twins_of_a_cell_that_still_runs_wait_for_it(tmp_path: Path) -> None:
    plan = planned("n=1,2", num_trials=8, sampler="random")
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=4)
    cells = [cell for _ in range(4) if (cell := search.next()) is not None]
    assert len(cells) == 2
    for cell in cells:
        train(search, cell, lambda config: [float(config["n"])])
    assert search.next() is None
    assert [t[1] for t in told(manifest, plan)] == 8 * ["COMPLETE"]
    assert all(t[2] == [float(t[3]["n"])] for t in told(manifest, plan))


def test_failures_are_told_and_a_second_life_is_a_new_trial(tmp_path: Path) -> None:
    plan = planned("x=interval(0,1)", num_trials=3)
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=1)
    for reason in ("failed", "nan", "absent"):
        cell = search.next()
        assert cell is not None
        run = begin(manifest, cell)
        record(run, {"nan": {"val/loss": math.nan}, "absent": {}}.get(reason, {"val/loss": 1.0}))
        cell.state = "failed" if reason == "failed" else "done"
        cell.reason = "out of memory" if reason == "failed" else None
        search.ended(cell)
    manifest.save()
    found = trials(manifest, plan)
    assert [t.state.name for t in found] == 3 * ["FAIL"]
    assert [t.user_attrs["reason"] for t in found] == [
        "out of memory",
        "val/loss is not a number",
        "val/loss was not recorded",
    ]

    search = Search(manifest, plan, at_once=1, cells=manifest.cells[:1])
    run_all(search, curve=lambda config: [config["x"]])
    found = trials(manifest, plan)
    assert len(found) == 4
    assert found[3].params == found[0].params
    assert found[3].values == [found[0].params["x"]]
    assert manifest.cells[0].trial == 3
    assert run_all(Search(manifest, plan, at_once=1)) == []  # three were asked for


def test_a_combination_that_is_refused_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganvas.errors import ConfigError
    from ganvas.sweep import search as searching

    check = searching.check_composed

    def picky(overrides: Any, *, trust: Any) -> Any:
        if values_in(overrides)["n"] == 2:
            raise ConfigError("n: must not be 2")
        return check(overrides, trust=trust)

    monkeypatch.setattr(searching, "check_composed", picky)
    plan = planned("n=1,2,3", num_trials=3, sampler="grid")
    manifest = folder_of(tmp_path / "s", plan)
    run_all(Search(manifest, plan, at_once=1), curve=lambda config: [1.0])
    found = {t.params["n"]: t for t in trials(manifest, plan)}
    assert {n: t.state.name for n, t in found.items()} == {
        "1": "COMPLETE",
        "2": "FAIL",
        "3": "COMPLETE",
    }
    assert found["2"].user_attrs["reason"] == "n: must not be 2"


def test_two_objectives(tmp_path: Path) -> None:
    plan = planned(
        "x=interval(0,1)", metric=("test/distortion", "test/rate"), num_trials=14, seed=3
    )
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=1)
    while (cell := search.next()) is not None:
        x = values_in(cell.overrides)["x"]
        record(begin(manifest, cell), {"test/distortion": x, "test/rate": (1 - x) ** 2})
        cell.state = "done"
        search.ended(cell)
    best = search.study.best_trials
    assert len(best) == 14  # one can't fall without the other one rising
    assert all(t.values == [t.params["x"], (1 - t.params["x"]) ** 2] for t in best)


@pytest.mark.parametrize("storage", ["sqlite:///{}/s.db", "{}/s.log"])
def test_a_second_sweep_goes_on_with_a_shared_study(tmp_path: Path, storage: str) -> None:
    place = storage.format(tmp_path)
    plan = planned(num_trials=2, storage=place)
    first = folder_of(tmp_path / "first", plan)
    assert len(run_all(Search(first, plan, at_once=1))) == 2
    more = planned(num_trials=4, storage=place)
    second = folder_of(tmp_path / "second", more)
    assert len(run_all(Search(second, more, at_once=1))) == 2

    alone = planned(num_trials=4)
    whole = folder_of(tmp_path / "whole", alone)
    run_all(Search(whole, alone, at_once=1))
    assert told(second, more) == told(whole, alone)

    other = planned("x=interval(-4,5)", *SPACE[1:], storage=place)
    with pytest.raises(RunError, match=r"x: it has -4.0 to 4.0, asked is -4.0 to 5.0"):
        Search(folder_of(tmp_path / "third", other), other, at_once=1)


def test_an_unfinished_line_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    plan = planned(num_trials=4)
    manifest = folder_of(tmp_path / "s", plan)
    run_all(Search(manifest, plan, at_once=1), most=2)
    journal = manifest.folder / "study.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker')
    (manifest.folder / "study.log.lock").symlink_to(journal)  # of the process that was killed
    assert len(run_all(Search(manifest, plan, at_once=1))) == 2
    assert journal.read_bytes().startswith(whole)
    assert len(told(manifest, plan)) == 4
    assert bowl({"x": 1, "n": 3, "tag": "b"})[-1] == 2.0**-3
