"""What the page is told is what the run folders say."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from made_runs import config_of, make_run
from synthetic import write_runs

from ganvas.report.collect import Curve, RunView, read_runs
from ganvas.report.curves import MAX_POINTS, MIN_POINTS, figure, fitting, kept_points, thinned
from ganvas.report.payload import payload, size
from ganvas.report.pictures import Embedded
from ganvas.report.rows import plain
from ganvas.tracking import secretless

RUNS = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write_runs(root, RUNS, points=12, pictures=1)
    return root


@pytest.fixture(scope="module")
def value(root: Path) -> dict[str, Any]:
    return payload(read_runs([root]), title="a title")


def records(root: Path) -> dict[str, dict[str, Any]]:
    return {f.parent.name: json.loads(f.read_bytes()) for f in root.rglob("run.json")}


def test_it_is_strict_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text) == value
    assert size(value) == len(json.dumps(value, separators=(",", ":")))


def test_values_are_those_of_run_json(root: Path, value: dict[str, Any]) -> None:
    stored = records(root)
    assert {run["id"] for run in value["runs"]} == stored.keys() and len(stored) == RUNS
    for run in value["runs"]:
        record = stored[run["id"]]
        assert run["values"].keys() == record["metrics"].keys()
        for name, entry in record["metrics"].items():
            assert run["values"][name]["final"] == entry["final"]["value"]
            assert run["values"][name]["best"] == (entry.get("best") or {}).get("value")
        for key in ("name", "created", "finished", "seed", "reason"):
            assert run[key] == record[key]
        assert run["provenance"]["command"] == record["command"]
        assert run["provenance"]["packages"] == record["packages"]
        assert run["peak_mib"] == record.get("usage", {}).get("peak_memory_mib", {})


def test_every_status_is_told(root: Path, value: dict[str, Any]) -> None:
    told = {"finished", "failed", "interrupted", "killed"}
    assert {run["status"] for run in value["runs"]} == told
    killed = {run["id"] for run in value["runs"] if run["status"] == "killed"}
    assert killed == {i for i, record in records(root).items() if record["status"] == "running"}


def test_curves_are_the_rows_of_metrics_csv(root: Path, value: dict[str, Any]) -> None:
    places = {run["id"]: root / run["path"] for run in value["runs"]}
    for run in value["runs"][:8]:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        with (places[run["id"]] / "metrics.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                point = (int(row["step"]), int(row["images_seen"]), float(row["seconds"]))
                rows.setdefault(row["name"], []).append((*point, float(row["value"])))
        shown = {name: curve for name, curve in rows.items() if not name.startswith("test/")}
        assert run["curves"].keys() == shown.keys()
        for name, points in shown.items():
            curve = run["curves"][name]
            made = zip(curve["step"], curve["images"], curve["seconds"], strict=True)
            assert [*made] == [(s, i, round(t, 3)) for s, i, t, _ in points]
            assert curve["value"] == [figure(v) for *_, v in points]


def test_nan_is_text_in_values_and_curves(value: dict[str, Any]) -> None:
    diverged = value["runs"][7]
    assert diverged["status"] == "failed" and diverged["reason"] == "RuntimeError: loss is nan"
    assert diverged["curves"]["val/elbo"]["value"][-1] == "nan"
    assert diverged["values"]["val/elbo"]["final"] == "nan"
    assert isinstance(diverged["values"]["val/elbo"]["best"], float)
    assert plain([math.nan, math.inf, -math.inf, 1.5, None, True]) == [
        *("nan", "inf", "-inf"),
        *(1.5, None, True),
    ]
    assert plain({1: (Path("a"),)}) == {"1": ["a"]}


def test_a_config_is_what_differs_and_what_is_shared(root: Path, value: dict[str, Any]) -> None:
    for run, view in zip(value["runs"], read_runs([root]).runs, strict=True):
        assert run["id"] == view.id
        whole = {**value["shared"], **run["config"]}
        unshown = {k for k in view.config if k.startswith("paths.")}
        assert whole == {k: plain(v) for k, v in view.config.items() if k not in unshown}
    assert value["keys"][:3] == ["model", "loss.beta", "seed"]
    assert not {*value["keys"]} & value["shared"].keys()


def test_groups_hold_every_run_once(value: dict[str, Any]) -> None:
    listed = [run for group in value["groups"] for run in group["runs"]]
    assert sorted(listed) == sorted(run["id"] for run in value["runs"])
    by_id = {run["id"]: run for run in value["runs"]}
    for group in value["groups"]:
        assert {by_id[run]["group"] for run in group["runs"]} == {group["id"]}
        assert "seed" not in group["label"]
        assert by_id[group["runs"][0]]["label"].startswith(group["label"])


def test_protocols_are_told_once(root: Path, value: dict[str, Any]) -> None:
    stored = records(root)
    for run in value["runs"]:
        record = stored[run["id"]]
        for name in run["values"].keys() & record["protocol"].keys():
            (told,) = set(run["protocols"][name].values())
            assert value["protocols"][told] == record["protocol"][name]
    kept = {h for run in value["runs"] for h in chain(*map(dict.values, run["protocols"].values()))}
    assert kept == value["protocols"].keys()


def test_the_metric_that_says_most_comes_first(value: dict[str, Any]) -> None:
    first = value["metrics"][0]
    assert first == {"name": "test/elbo", "higher": True}
    known = [metric["higher"] is not None for metric in value["metrics"]]
    assert known == sorted(known, reverse=True), "those without a direction come last"


def test_secrets_in_what_was_typed_are_not_shown(tmp_path: Path) -> None:
    """A cell without a run has no record, so nothing redacted its overrides yet."""
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "format_version": 1,
                "cells": [
                    {
                        "index": 0,
                        "overrides": ["model=vae", "hub.api_key=sesame123"],
                        "state": "failed",
                        "run": None,
                        "reason": "no such thing: api_key=sesame123",
                    }
                ],
            }
        ),
        encoding="utf-8",
    )
    value = payload(read_runs([tmp_path]), title="token=sesame123")
    assert [run["status"] for run in value["runs"]] == ["failed"]
    assert value["shared"]["hub.api_key"] == "***"
    assert "sesame" not in json.dumps(value)


def test_the_search_of_a_sweep_under_the_root_is_shown(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        cells = [{"index": 0, "overrides": [], "state": "queued", "run": None}]
        text = json.dumps({"format_version": 1, "cells": cells})
        (tmp_path / name / "sweep.json").write_text(text, encoding="utf-8")
    collection = read_runs([tmp_path])

    def read(folder: Path) -> dict[str, Any] | None:
        return {"trials": [{"values": [math.nan], "reason": f"token=sesame {folder.name}"}]}

    value = payload(collection, title="t", read_search=read)
    assert value["search"] == {"trials": [{"values": ["nan"], "reason": "token=*** a"}]}
    assert [note[:37] for note in value["notes"]] == ["One search is shown, 1 more are not; "]
    assert payload(collection, title="t", read_search=lambda _: None)["search"] is None


def test_the_best_run_has_its_pictures_first(root: Path) -> None:
    asked: list[list[str]] = []

    def none(runs: Sequence[RunView], budget: int) -> Embedded:
        asked.append([run.id for run in runs])
        return Embedded({}, (), ())

    value = payload(read_runs([root]), title="t", read_pictures=none)
    of = {run["id"]: run["values"].get("test/elbo", {}).get("best") for run in value["runs"]}
    values = [of[run] for run in asked[0] if of[run] is not None]
    assert values == sorted(values, reverse=True) and len(asked[0]) == RUNS
    assert all(of[run] is None for run in asked[0][len(values) :])


def test_no_runs_is_a_payload_too(tmp_path: Path) -> None:
    value = payload(read_runs([tmp_path]), title="empty", live=True)
    assert value["runs"] == value["groups"] == value["metrics"] == value["problems"] == []
    assert value["live"] is True


def test_a_small_budget_thins_curves_and_leaves_pictures_out(root: Path) -> None:
    whole = payload(read_runs([root]), title="t")
    tables = size({**whole, "runs": [{**r, "curves": {}, "pictures": {}} for r in whole["runs"]]})
    small = payload(read_runs([root]), title="t", budget=tables + 40_000)
    assert size(small) <= tables + 41_000 < size(whole)
    assert any("Curves of" in note for note in small["notes"])
    assert whole["notes"] == []
    for run, full in zip(small["runs"], whole["runs"], strict=True):
        assert {**run, "curves": 0, "pictures": 0} == {**full, "curves": 0, "pictures": 0}
        assert next(iter(run["curves"])) == "val/elbo"


def wave(length: int) -> Curve:
    steps = [*range(length)]
    return Curve(
        steps, [50 * s for s in steps], [0.1 * s for s in steps], [math.sin(s) for s in steps]
    )


@pytest.mark.parametrize("most", [30, 75, 200])
@pytest.mark.parametrize("length", [1, 30, 31, 200, 201, 5000])
def test_thinning_keeps_first_last_and_extremes(length: int, most: int) -> None:
    values = wave(length).value
    kept = kept_points(length, values, most=most)
    assert kept == sorted(set(kept)) and len(kept) <= most
    assert kept[0] == 0 and kept[-1] == length - 1
    assert {
        min(range(length), key=values.__getitem__),
        max(range(length), key=values.__getitem__),
    } <= {*kept}
    assert len(kept) == length or len(kept) > 0.7 * most


def test_thinning_survives_nan_and_keeps_a_peak_of_infinity() -> None:
    values = [math.nan] * 400 + [math.inf] + [1.0] * 400 + [math.nan]
    kept = kept_points(len(values), values, most=50)
    assert 400 in kept and len(kept) <= 50
    steps = [*range(len(values))]
    made = thinned(Curve(steps, steps, [0.0] * len(values), values), most=50)
    assert made["value"][0] == "nan" and "inf" in made["value"]
    assert made["step"] == kept


@pytest.mark.parametrize("num_points", [0, 100, 3000, 20_000, 10**6])
def test_all_curves_together_keep_to_their_number_of_points(num_points: int) -> None:
    names = ["a", "b", "c", "d", "e"]
    curves = {f"run {i}": {name: wave(500) for name in names} for i in range(20)}
    made, dropped = fitting(curves, order=["c"], num_points=num_points)
    total = sum(len(curve["step"]) for of_run in made.values() for curve in of_run.values())
    assert total <= max(num_points, 20 * MIN_POINTS), "one metric is always shown"
    kept = [*made["run 0"]]
    assert kept[0] == "c" and {*kept, *dropped} == {*names} and len(kept) + len(dropped) == 5
    if num_points == 10**6:
        assert total == 20 * 5 * MAX_POINTS


def test_a_test_value_is_no_curve_but_a_first_point_of_validation_is() -> None:
    one: Mapping[str, Mapping[str, Curve]] = {"r": {"test/elbo": wave(1), "val/elbo": wave(1)}}
    names: Sequence[str] = ()
    made, dropped = fitting(one, order=names, num_points=1000)
    assert [*made["r"]] == ["val/elbo"] and dropped == ()


def test_mixed_projects_and_secrets_are_told_as_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "sesame-open-12345")
    make_run(tmp_path, values={"test/elbo": -1.0})
    config = config_of(seed=1, logger={"project": "Beta"})
    make_run(tmp_path, config=config, status="failed", reason="no sesame-open-12345")
    (tmp_path / "sesame-open-12345").mkdir()
    (tmp_path / "sesame-open-12345" / "run.json").write_text("{", encoding="utf-8")
    value = payload(read_runs([tmp_path]), title="t")
    assert value["notes"] == ["Runs of 2 projects: Beta, ganvas."]
    (problem,) = value["problems"]
    assert "is damaged" in problem
    assert "sesame" not in json.dumps(value)


def test_a_secret_goes_by_its_key_and_by_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "sesame-open")
    found = secretless({"trials": [{"api_key": "abc", "run": "by sesame-open", "number": 3}]})
    assert found == {"trials": [{"api_key": "***", "run": "by ***", "number": 3}]}
