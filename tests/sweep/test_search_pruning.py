"""A trial is pruned by its values at each validation, whenever and however they are read."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from searches import begin, folder_of, planned, record, run_all, told, trials, uncomposed, write

from ganvas.sweep.manifest import Manifest
from ganvas.sweep.search import Search
from ganvas.sweep.search_plan import SearchPlan
from ganvas.sweep.search_values import Validations

__all__ = ["uncomposed"]
pytestmark = pytest.mark.usefixtures("uncomposed")

GOOD = [5.0, 4.0, 3.0, 2.0, 1.0]
POOR = [5.0, 4.0, 9.0, 9.0, 0.5]  # worse than the others at the third validation
MEDIAN = {"pruner": "median", "pruning": {"startup_trials": 2, "warmup": 2}}


def begun(place: Path, **settings: Any) -> tuple[Manifest, SearchPlan, Search]:
    """A search that has two good trials."""
    plan = planned("x=interval(0,1)", num_trials=6, **{**MEDIAN, **settings})
    manifest = folder_of(place, plan)
    search = Search(manifest, plan, at_once=1)
    run_all(search, most=2, curve=lambda config: GOOD)
    return manifest, plan, search


@pytest.mark.parametrize("sizes", [(5,), (1, 1, 1, 1, 1), (3, 2), (2, 3), (4, 1)])
@pytest.mark.parametrize("reads", ["while it runs", "when it has ended"])
def test_the_verdict_is_one_of_values_alone(
    tmp_path: Path, sizes: tuple[int, ...], reads: str
) -> None:
    manifest, plan, search = begun(tmp_path / "s")
    cell = search.next()
    assert cell is not None
    run, values = begin(manifest, cell), iter(POOR)
    first, said = 1, None
    for size in sizes:
        write(run, list(itertools.islice(values, size)), first=first)
        first += size
        if reads == "while it runs":
            said = said or search.prune(cell)
    record(run, {"val/loss": POOR[-1]}, "interrupted" if said else "finished")
    cell.state = "done"
    search.ended(cell)
    assert told(manifest, plan)[2][1:3] == ("PRUNED", [9.0])
    assert told(manifest, plan)[2][4] == {1: 5.0, 2: 4.0, 3: 9.0}
    assert cell.reason == "pruned at step 30"
    reason = json.loads((run / "run.json").read_text()).get("reason")
    assert reason == ("pruned at step 30" if said else None)  # a whole run stays as it is


def test_good_trials_go_on_and_nothing_is_pruned_without_a_pruner(tmp_path: Path) -> None:
    for name, settings, values in (("good", {}, GOOD), ("none", {"pruner": "none"}, POOR)):
        manifest, plan, search = begun(tmp_path / name, **settings)
        run_all(search, most=1, curve=lambda config, values=values: values)  # type: ignore[misc]
        assert told(manifest, plan)[2][1:3] == ("COMPLETE", [values[-1]])


def test_a_test_metric_is_pruned_by_its_validation(tmp_path: Path) -> None:
    plan = planned("x=interval(0,1)", metric=("test/loss",), **MEDIAN)
    assert plan.watched == "val/loss"
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=1)
    for values in (GOOD, GOOD, POOR):
        cell = search.next()
        assert cell is not None
        run = begin(manifest, cell)
        write(run, values)
        record(run, {"test/loss": values[-1]})
        cell.state = "done"
        search.ended(cell)
    assert [t[1] for t in told(manifest, plan)] == ["COMPLETE", "COMPLETE", "PRUNED"]


@pytest.mark.parametrize("killed", ["told", "judged", "reported"])
def test_a_driver_killed_as_it_prunes_changes_nothing(
    tmp_path: Path, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, plan, search = begun(tmp_path / "s")
    cell = search.next()
    assert cell is not None
    run = begin(manifest, cell)
    write(run, POOR[:4])
    if killed == "reported":
        with monkeypatch.context() as patch:
            patch.setattr(optuna.trial.Trial, "should_prune", _kill)
            for _ in range(3):  # the first three are reported, the third is not judged
                with pytest.raises(KeyboardInterrupt):
                    search.prune(cell)
    else:
        assert search.prune(cell) == "pruned at step 30"
    record(run, {}, "interrupted")
    if killed == "told":  # and `sweep.json` was not yet written
        cell.state = "done"
        search.ended(cell)
    left = Manifest.load(manifest.folder)
    assert left.cells[2].state == "running"
    left.cells[2].state = "interrupted"
    search = Search(left, plan, at_once=1, cells=left.cells[2:])
    again = search.next()
    assert again is not None
    if killed == "reported":
        assert again.index == 2
        assert search.prune(again) == "pruned at step 30"
        again.state = "done"
        search.ended(again)
    else:
        assert again.index == 3
    assert (left.cells[2].state, left.cells[2].reason) == ("done", "pruned at step 30")
    assert trials(left, plan)[2].state.name == "PRUNED"
    assert set(trials(left, plan)[2].intermediate_values) == {1, 2, 3}


def _kill(trial: optuna.trial.Trial) -> bool:
    raise KeyboardInterrupt


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_other_pruners_prune(tmp_path: Path, pruner: str) -> None:
    pruning = {"min_validations": 1, "reduction_factor": 2, "max_validations": 5}
    plan = planned(
        "x=interval(0,1)", num_trials=16, pruner=pruner, pruning=pruning, sampler="random"
    )
    manifest = folder_of(tmp_path / "s", plan)
    run_all(
        Search(manifest, plan, at_once=1), curve=lambda c: [c["x"] + 1 / k for k in range(1, 6)]
    )
    pruned = [t for t in told(manifest, plan) if t[1] == "PRUNED"]
    whole = [t for t in told(manifest, plan) if t[1] == "COMPLETE"]
    assert pruned
    assert whole
    assert min(t[3]["x"] for t in whole) == min(t[3]["x"] for t in told(manifest, plan))


def test_only_new_lines_are_read_and_a_rewritten_table_anew(tmp_path: Path) -> None:
    known = Validations(tmp_path, "val/loss", run="r")
    assert list(known.since(0)) == []
    write(tmp_path, [3.0, 2.0])
    assert list(known.since(0)) == [(1, (10, 3.0)), (2, (20, 2.0))]
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("30,0,0.0,val/loss,1.")
    assert list(known.since(2)) == []
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5\n")
    assert list(known.since(2)) == [(3, (30, 1.5))]
    shorter = (tmp_path / "metrics.csv").read_text().splitlines(keepends=True)[:2]
    (tmp_path / "new").write_text("".join(shorter))
    (tmp_path / "new").replace(tmp_path / "metrics.csv")
    write(tmp_path, [7.0], first=2)
    assert list(known.since(1)) == [(2, (20, 7.0))]
