"""Searches whose trials are real trainings, killed, pruned and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sweeps import TINY, cells, drive, steps_of, sweep_folder

from ganvas.report.search import search_of

SEARCH = (
    "train",
    "-m",
    *TINY,
    "hydra/sweeper=optuna",
    "model=ae",
    "trainer.val_check_interval=5",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "hydra.sweeper.num_trials=3",
    "hydra.sweeper.pruner=median",
    "hydra.sweeper.pruning={startup_trials:1,warmup:0}",
)


def study(sweep: Path) -> list[tuple[Any, ...]]:
    """What a search came to, but for times and names."""
    found = search_of(sweep)
    assert found is not None
    return [(t["number"], t["state"], t["values"], t["params"]) for t in found["trials"]]


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    assert drive(tmp_path / "whole", *SEARCH).code() == 0
    whole = sweep_folder(tmp_path / "whole")
    assert whole is not None

    killed = drive(tmp_path / "killed", *SEARCH)
    place = tmp_path / "killed"
    killed.until(lambda: (s := sweep_folder(place)) and len(cells(s)) > 1 and steps_of(s, 1) >= 5)
    killed.kill()
    killed.code()
    sweep = sweep_folder(place)
    assert sweep is not None
    assert len(study(sweep)) == 2
    done = drive(place, "sweep", "resume", str(sweep))
    assert done.code() == 0
    assert study(sweep) == study(whole)
    assert [number for number, *_ in study(whole)] == [0, 1, 2]
    assert "best          ganvas train " in done.out.read_text()
    for cell in cells(sweep):
        record = json.loads((sweep / cell["run"] / "run.json").read_text())
        pruned = str(cell["reason"]).startswith("pruned at step")
        assert record["status"] == "finished" or pruned

    assert drive(place, "sweep", "resume", str(sweep)).code() == 2  # nothing is left
    assert drive(place, "sweep", "resume", str(sweep), "trials=4").code() == 0
    assert study(sweep)[:3] == study(whole)
    assert len(study(sweep)) == 4
