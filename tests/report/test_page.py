"""The report's page in a real browser: its tables, the filter, the sheet of a run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from page_browser import type_filter
from page_payload import payload, search

Open = Callable[..., Any]

IDS = "nodes => nodes.map(node => node.dataset.focus.replace('name ', ''))"


def rows(tab: Any) -> list[str]:
    """Ids of the runs in the table, in its order."""
    return tab.eval_on_selector_all("#run-table tbody .link", IDS)


def column(tab: Any, table: str, name: str) -> list[str]:
    """The texts of one column."""
    heads = [text.strip() for text in tab.locator(f"{table} thead th").all_inner_texts()]
    cells = f"{table} tbody tr > :nth-child({heads.index(name) + 1})"
    return [text.strip() for text in tab.locator(cells).all_inner_texts()]


def click_head(tab: Any, name: str) -> None:
    tab.locator("#run-table thead button", has_text=name).first.click()


def filtered(tab: Any, text: str) -> list[str]:
    type_filter(tab, text)
    return rows(tab)


def test_opens_with_every_section_that_has_something(open_page: Open) -> None:
    value = payload()
    tab = open_page(value, real=True)
    assert tab.title() == "a sweep · ganvas"
    assert tab.inner_text("#summary").startswith(
        "12 runs · 12 finished · made 2026-11-22 00:30 UTC"
    )
    sections = ["Runs", "Groups", "Config", "Curves", "Parallel", "Trade-offs", "Pictures"]
    assert tab.locator(".bar nav a").all_inner_texts() == sections
    assert rows(tab) == [run["id"] for run in value["runs"]]
    assert not tab.locator("#problems").is_visible()
    assert tab.locator("#live").is_hidden()
    value = payload(pictures=False) | {"problems": ["a/run.json is damaged"], "notes": ["Less."]}
    value["search"] = search(value["runs"])
    tab = open_page(value)
    assert tab.locator(".bar nav a").all_inner_texts() == [*sections[:-1], "Search"]
    assert tab.locator("#problems li").all_inner_texts() == ["a/run.json is damaged"]
    assert tab.inner_text("#notes") == "Less."


@pytest.mark.parametrize("name", ["model", "loss.beta", "test/fid", "Time", "Memory"])
def test_sorting_is_that_of_python_with_missing_values_last(open_page: Open, name: str) -> None:
    value = payload()
    first, second, third = value["runs"][:3]
    first["values"]["test/fid"]["final"], second["values"] = "nan", {}
    third["values"]["test/fid"]["final"] = "-inf"
    first["seconds"], second["peak_mib"] = None, {}
    first["config"].pop("loss.beta")
    keys: dict[str, Callable[[Any], Any]] = {
        "model": lambda run: run["config"]["model"],
        "loss.beta": lambda run: run["config"].get("loss.beta"),
        "test/fid": lambda run: float(run["values"].get("test/fid", {"final": "nan"})["final"]),
        "Time": lambda run: run["seconds"],
        "Memory": lambda run: run["peak_mib"].get("process"),
    }
    key = keys[name]

    def known(run: Any) -> bool:
        found = key(run)
        return found is not None and str(found) != "nan"

    for down in (False, True):
        expected = sorted(filter(known, value["runs"]), key=key, reverse=down)
        expected += [run for run in value["runs"] if not known(run)]
        tab = tab if down else open_page(value)  # noqa: F821
        click_head(tab, name)
        assert rows(tab) == [run["id"] for run in expected]
    head = tab.locator("#run-table thead th", has_text=name)
    assert head.get_attribute("aria-sort") == "descending"


def test_the_filter_knows_text_keys_and_numbers(open_page: Open) -> None:
    value = payload(models=3)
    value["runs"][0] |= {"status": "failed", "reason": "out of memory at step 3", "values": {}}
    value["runs"][4]["values"]["test/fid"]["final"] = "nan"
    tab = open_page(value)

    def fid(run: Any) -> float:
        return float(run["values"].get("test/fid", {"final": math.nan})["final"])

    queries: dict[str, Callable[[Any], bool]] = {
        "model1": lambda run: run["config"]["model"] == "model1",
        "model=model1": lambda run: run["config"]["model"] == "model1",
        "beta=2 seed!=0": lambda run: run["config"]["loss.beta"] == 2 and run["seed"] != 0,
        "loss.beta=2.0": lambda run: run["config"]["loss.beta"] == 2,
        "test/fid>33": lambda run: fid(run) > 33,
        "fid<=33": lambda run: fid(run) <= 33,
        "test/fid=nan": lambda run: str(run["values"].get("test/fid", {}).get("final")) == "nan",
        "status=FAILED": lambda run: run["status"] == "failed",
        '"memory at step"': lambda run: run["status"] == "failed",
        "dataset=digits": lambda run: True,
        "seconds<12 memory>605": lambda run: run["seconds"] < 12 and run["cell"] > 5,
        "nothing": lambda run: False,
    }
    for query, holds in queries.items():
        expected = [run["id"] for run in value["runs"] if holds(run)]
        assert filtered(tab, query) == expected, query
    filtered(tab, "gamma=3")
    assert "No key or metric is called “gamma”" in tab.inner_text("#filter-note")
    filtered(tab, "")
    tab.locator("#chips button", has_text="failed").click()
    assert rows(tab) == [value["runs"][0]["id"]]
    assert "1 of 18 runs" in tab.inner_text("#filter-note")


def test_groups_are_means_and_standard_errors_over_seeds(open_page: Open) -> None:
    value = payload()
    value["runs"][2]["status"] = "failed"  # of the first group
    repeated = value["runs"][11]
    repeated["seed"] = value["runs"][10]["seed"]  # two runs of one seed count once
    tab = open_page(value)
    expected = []
    for group in value["groups"]:
        by_seed: dict[int, list[float]] = {}
        for run in value["runs"]:
            if run["group"] == group["id"] and run["status"] == "finished":
                by_seed.setdefault(run["seed"], []).append(run["values"]["test/elbo"]["best"])
        means = [statistics.mean(numbers) for numbers in by_seed.values()]
        expected.append((statistics.mean(means), statistics.stdev(means) / len(means) ** 0.5))
    shown = [
        text.replace("best ", "").split("n =")[0]
        for text in column(tab, "#group-table", "test/elbo")
    ]
    for text, (mean, error) in zip(shown, expected, strict=True):
        first, second = map(float, text.split("±"))
        assert first == pytest.approx(mean, abs=0.006)
        assert second == pytest.approx(error, rel=0.06)
    assert column(tab, "#group-table", "n") == ["2 of 3", "3", "3", "3"]
    tab.select_option("#which", "final")
    assert column(tab, "#group-table", "test/elbo")[0].startswith("best -100.25 ± 0.25")


def test_best_is_marked_where_it_may_be(open_page: Open) -> None:
    value = payload()
    tab = open_page(value)
    assert tab.locator("#group-table tr:first-child .lead .best").count() == 1
    assert tab.locator("#group-table .lead .best").count() == 1
    assert "The best mean of test/elbo is marked" in tab.inner_text("#groups-note")
    tab.select_option("#metric", "test/rate")
    assert "neither higher nor lower is better" in tab.inner_text("#groups-note")

    value["runs"][0]["protocols"]["test/elbo"]["best"] = "p1"
    tab = open_page(value)
    assert column(tab, "#group-table", "test/elbo")[0] == "protocols differ"
    assert "measured under different protocols" in tab.inner_text("#groups-note")
    assert tab.locator("#group-table .lead .best").count() == 0

    tab = open_page(payload(seeds=1))
    assert "with one seed only" in tab.inner_text("#groups-note")
    assert tab.locator("#group-table .best").count() == 0


def test_the_diff_holds_the_keys_that_differ_among_the_chosen(open_page: Open) -> None:
    value = payload()
    tab = open_page(value)
    assert "Choose two or more" in tab.inner_text("#diff-note")
    for run in (value["runs"][0], value["runs"][3]):  # the same model and seed, another beta
        tab.check(f'[data-focus="choose {run["id"]}"]')
    assert tab.locator("#diff-table tbody tr").all_inner_texts() == ["loss.beta\t1\t2"]
    tab.check("#diff-all")
    keys = [text.split("\t")[0] for text in tab.locator("#diff-table tbody tr").all_inner_texts()]
    assert keys == sorted([*value["keys"], *value["shared"]])
    assert tab.locator("#diff-table tr.differs").count() == 1
    assert tab.inner_text("#chosen") == "2 runs chosen"
    tab.click("#unchoose")
    assert "Choose two or more" in tab.inner_text("#diff-note")


def test_the_sheet_says_where_a_run_comes_from(open_page: Open) -> None:
    value = payload()
    run = value["runs"][1]
    run |= {"status": "failed", "reason": "the loss is nan"}
    run["provenance"]["evaluations"] = [
        {"name": "fid", "split": "test", "value": 31.5, "uncertainty": 0.5, "checkpoint": "x.ckpt",
         "protocol": "p1", "provenance": {"seed": 4}}
    ]  # fmt: skip
    tab = open_page(value)
    name = tab.locator(f'[data-focus="name {run["id"]}"]')
    name.focus()
    tab.keyboard.press("Enter")
    text = tab.inner_text("#sheet")
    told = ["failed: the loss is nan", run["provenance"]["command"], "c0ffee", "da7a", "abc123"]
    told += ["some cpu", "2.15.0", "p1: test/fid", "test/fid 31.5 ± 0.5", "dataset.batch_size"]
    assert [part for part in told if part not in text] == []
    tab.locator("#sheet summary", has_text="31.5").click()
    assert "Inception" in tab.inner_text("#sheet")
    tab.keyboard.press("Escape")
    assert tab.locator("#sheet").is_hidden()
    assert tab.evaluate("document.activeElement.dataset.focus") == f"name {run['id']}"


def test_choices_are_kept_in_the_address_and_by_the_keyboard(open_page: Open) -> None:
    value = payload()
    tab = open_page(value)
    tab.locator("#run-table thead button", has_text="test/fid").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.textContent") == "test/fid"
    tab.select_option("#metric", "test/fid")
    type_filter(tab, "seed=1")
    tab.check(f'[data-focus="choose {value["runs"][4]["id"]}"]')
    kept = rows(tab)
    again = open_page(value, fragment=tab.evaluate("location.hash"))
    assert rows(again) == kept and len(kept) == 4
    assert again.input_value("#metric") == "test/fid"
    assert again.input_value("#filter") == "seed=1"
    assert again.inner_text("#chosen") == "1 run chosen"
