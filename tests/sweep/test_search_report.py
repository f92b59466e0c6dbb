"""What the report, and a person at the end of a sweep, see of a search."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from searches import SPACE, begin, bowl, folder_of, planned, record, run_all, uncomposed, values_in

from ganvas.report.search import search_of
from ganvas.sweep.search import Search
from ganvas.sweep.search_closing import print_search
from ganvas.sweep.search_objective import Objective, values_of

__all__ = ["uncomposed"]
pytestmark = pytest.mark.usefixtures("uncomposed")


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_trials_of_a_search(tmp_path: Path) -> None:
    pruning = {"startup_trials": 3, "warmup": 1}
    plan = planned(*SPACE, num_trials=10, pruner="median", pruning=pruning)
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=1)
    run_all(search, most=9)
    assert search.next() is not None
    before = hashes(tmp_path)
    found = search_of(manifest.folder)
    assert hashes(tmp_path) == before
    assert found is not None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["objectives"] == [{"name": "val/loss", "direction": "minimize"}]
    assert {t["state"] for t in found["trials"]} == {"complete", "pruned", "running"}
    for trial, cell in zip(found["trials"], manifest.cells, strict=True):
        assert trial["params"] == values_in(cell.overrides)
        assert trial["run"] == (Path(cell.run).name if cell.run else None)
        if trial["state"] == "complete":
            assert trial["values"] == [bowl(trial["params"])[-1]]
    assert found["trials"][-1]["values"] is None
    assert set(found["importance"]) == {"x", "tag", "n"}
    assert sum(found["importance"].values()) == pytest.approx(1)


def test_importance_needs_two_keys_and_a_few_trials(tmp_path: Path) -> None:
    for name, space, most in (("one", ("x=interval(0,1)",), 6), ("few", SPACE, 3)):
        plan = planned(*space, num_trials=most)
        manifest = folder_of(tmp_path / name, plan)
        run_all(Search(manifest, plan, at_once=1), curve=lambda config: [config["x"]])
        found = search_of(manifest.folder)
        assert found is not None
        assert len(found["trials"]) == most
        assert found["importance"] is None


def test_a_study_that_is_gone_or_damaged_is_told(tmp_path: Path) -> None:
    plan = planned(num_trials=2)
    manifest = folder_of(tmp_path / "s", plan)
    found = search_of(manifest.folder)
    assert found is not None
    assert (found["trials"], found["importance"]) == ([], None)
    assert "FileNotFoundError" in found["reason"]
    (manifest.folder / "study.log").write_text("no journal\nat all\n")
    found = search_of(manifest.folder)
    assert found is not None
    assert found["reason"].startswith("the study can't be read")
    (manifest.folder / "sweep.json").write_text("{}")
    assert search_of(manifest.folder) is None
    assert search_of(tmp_path) is None


def test_the_best_trial_and_its_command(tmp_path: Path) -> None:
    plan = planned("model=vae", "x=interval(0,1)", "tag=a,'b c'", num_trials=5)
    manifest = folder_of(tmp_path / "s", plan)
    run_all(Search(manifest, plan, at_once=1), curve=lambda config: [config["x"]])
    best = min(manifest.cells, key=lambda cell: values_in(cell.overrides)["x"])
    console = Console(width=100, record=True, quiet=True)
    rows = print_search(manifest, console)
    assert shlex.split(rows["best"]) == ["ganvas", "train", *best.overrides]


def test_the_front_of_two_objectives(tmp_path: Path) -> None:
    plan = planned("x=interval(0,1)", metric=("test/a", "test/b"), num_trials=6)
    manifest = folder_of(tmp_path / "s", plan)
    search = Search(manifest, plan, at_once=1)
    while (cell := search.next()) is not None:
        x = values_in(cell.overrides)["x"]
        record(begin(manifest, cell), {"test/a": x, "test/b": abs(x - 0.5)})
        cell.state = "done"
        search.ended(cell)
    manifest.save()
    rows = print_search(manifest, Console(quiet=True))
    tried = [values_in(cell.overrides)["x"] for cell in manifest.cells]
    front = [x for x in tried if not any(y < x and abs(y - 0.5) <= abs(x - 0.5) for y in tried)]
    front = [x for x in front if x <= min(front, key=lambda x: abs(x - 0.5))]
    shown = {float(shlex.split(row)[-1].partition("=")[2]) for row in rows.values()}
    assert shown <= set(front)
    assert {min(front), max(front)} <= shown


def entry(final: float, best: float | None = None, *, higher: bool = False) -> dict[str, object]:
    found: dict[str, object] = {"final": {"value": final, "step": 2}}
    if best is not None:
        found |= {"best": {"value": best, "step": 1}, "higher_is_better": higher}
    return found


def test_values_are_best_for_one_objective_and_of_one_checkpoint_for_two() -> None:
    metrics = {
        "val/loss": entry(3.0, 2.0),
        "test/distortion": entry(5.0, 4.0),
        "test/loss": entry(7.0, 6.0),
        "test/rate": entry(9.0),
    }

    def of(*names: str, higher: bool = False) -> list[float]:
        return values_of(metrics, [Objective(name, higher) for name in names])

    assert of("val/loss") == [2.0]
    assert of("val/loss", higher=True) == [3.0]
    assert of("test/distortion") == [4.0]
    assert of("test/rate") == [9.0]
    assert of("test/distortion", "test/loss") == [4.0, 6.0]
    assert of("test/distortion", "test/rate") == [5.0, 9.0]
    assert of("val/loss", "test/loss") == [3.0, 7.0]
    with pytest.raises(ValueError, match="val/x was not recorded"):
        of("val/x")
