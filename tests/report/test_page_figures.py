"""What the report's page draws: the numbers that plotly gets, the lines, the pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from page_browser import type_filter
from page_payload import STEPS, payload, search

Open = Callable[..., Any]


def traces(tab: Any, selector: str) -> list[dict[str, Any]]:
    return tab.evaluate("selector => document.querySelector(selector).data", selector)


def means(tab: Any) -> list[dict[str, Any]]:
    """The lines of the groups, without their bands."""
    return [trace for trace in traces(tab, "#curve-plot") if "name" in trace]


def values(run: dict[str, Any]) -> list[float]:
    return run["curves"]["val/elbo"]["value"]


def test_curves_are_means_with_bands_over_each_axis(open_page: Open) -> None:
    value = payload()
    tab = open_page(value)
    runs = value["runs"][:3]
    assert [trace["name"] for trace in means(tab)] == [group["label"] for group in value["groups"]]
    low, high, mean = traces(tab, "#curve-plot")[:3]
    across = list(zip(*map(values, runs), strict=True))
    centre = [statistics.mean(numbers) for numbers in across]
    error = [statistics.stdev(numbers) / math.sqrt(3) for numbers in across]
    assert mean["x"] == STEPS
    assert mean["y"] == pytest.approx(centre)
    assert low["y"] == pytest.approx([m - e for m, e in zip(centre, error, strict=True)])
    assert high["y"] == pytest.approx([m + e for m, e in zip(centre, error, strict=True)])

    tab.check("#band input[value=range]", force=True)
    low, high = traces(tab, "#curve-plot")[:2]
    assert low["y"] == pytest.approx([min(numbers) for numbers in across])
    assert high["y"] == pytest.approx([max(numbers) for numbers in across])

    tab.check("#xaxis input[value=images]", force=True)
    assert means(tab)[0]["x"] == [64 * step for step in STEPS]
    tab.check("#xaxis input[value=seconds]", force=True)
    seconds = [run["curves"]["val/elbo"]["seconds"] for run in runs]
    assert means(tab)[0]["x"] == sorted({one for times in seconds for one in times})
    tab.check("#band input[value=runs]", force=True)
    assert [trace["x"] for trace in means(tab)[:3]] == seconds
    assert [trace["y"] for trace in means(tab)[:3]] == list(map(values, runs))


def test_a_seed_that_was_run_twice_counts_once_in_a_curve(open_page: Open) -> None:
    value = payload(models=1, betas=1, seeds=3)
    value["runs"][1]["seed"] = value["runs"][0]["seed"]
    low, high, mean = traces(open_page(value), "#curve-plot")[:3]
    for at, (first, again, other) in enumerate(zip(*map(values, value["runs"]), strict=True)):
        seed = (first + again) / 2
        assert mean["y"][at] == pytest.approx((seed + other) / 2)
        assert high["y"][at] - low["y"][at] == pytest.approx(abs(seed - other))
    assert "n = 2" in mean["text"][0]
    value["runs"][2]["seed"] = value["runs"][0]["seed"]
    (mean,) = traces(open_page(value), "#curve-plot")  # one seed has no band


def test_means_over_seconds_are_between_points_and_only_where_a_run_was(open_page: Open) -> None:
    value = payload(models=1, betas=1, seeds=2)
    for run, x, y in zip(value["runs"], ([0, 2], [1, 5]), ([0, 4], [10, 2]), strict=True):
        run["curves"] = {"val/elbo": {"step": x, "images": x, "seconds": x, "value": y}}
    tab = open_page(value)
    assert means(tab)[0]["x"] == [0, 1, 2, 5]
    assert means(tab)[0]["y"] == [0, (2 + 10) / 2, (4 + 8) / 2, 2]
    assert "n = 1" in means(tab)[0]["text"][0] and "n = 2" in means(tab)[0]["text"][1]


def test_a_curve_that_is_nan_leaves_a_gap(open_page: Open) -> None:
    value = payload(models=1, betas=1, seeds=1)
    value["runs"][0]["curves"]["val/elbo"]["value"][4:] = ["nan", "inf", *[-1.0] * 4]
    drawn = means(open_page(value))[0]["y"]
    assert [y is None or not math.isfinite(y) for y in drawn] == [
        i in (4, 5) for i in range(len(STEPS))
    ]


def test_figures_follow_the_metric_the_filter_and_the_legend(open_page: Open) -> None:
    value = payload()
    for run in value["runs"]:
        run["curves"]["test/fid"] = run["curves"]["val/elbo"]
    tab = open_page(value)
    assert tab.input_value("#curve-metric") == "val/elbo"
    tab.select_option("#metric", "test/fid")
    assert tab.input_value("#curve-metric") == "test/fid"
    quality = traces(tab, "#qs .plot")[0]
    by_id = {run["id"]: run for run in value["runs"]}
    expected = [by_id[ident]["values"]["test/fid"]["final"] for ident in quality["customdata"]]
    assert len(expected) == 12 and quality["y"] == expected
    rates = traces(tab, "#rd .plot")[0]
    for ident, x, y in zip(rates["customdata"], rates["x"], rates["y"], strict=True):
        found = by_id[ident]["values"]
        assert (x, y) == (found["test/rate"]["final"], found["test/distortion"]["final"])

    tab.locator("#legend button").first.click()
    assert len(means(tab)) == 3
    type_filter(tab, "model=model1")
    assert len(means(tab)) == 2
    assert len(traces(tab, "#qs .plot")[0]["x"]) == 6


def test_many_groups_are_the_best_and_the_chosen(open_page: Open) -> None:
    value = payload(models=4, betas=5, pictures=False)
    tab = open_page(value)
    best = sorted(value["groups"], key=lambda group: -_mean(value, group))[:8]
    assert {trace["name"] for trace in means(tab)} == {group["label"] for group in best}
    assert "12 groups not drawn" in tab.inner_text("#curve-note")
    worst = min(value["groups"], key=lambda group: _mean(value, group))
    tab.check(f'[data-focus="choose {worst["runs"][0]}"]')
    assert worst["label"] in {trace["name"] for trace in means(tab)}
    colours = [trace["line"]["color"] for trace in means(tab)]
    assert len(set(colours)) == len(colours) == 9


def _mean(value: dict[str, Any], group: dict[str, Any]) -> float:
    runs = [run for run in value["runs"] if run["id"] in group["runs"]]
    return statistics.mean(run["values"]["test/elbo"]["best"] for run in runs)


def test_parallel_coordinates_have_a_line_per_run_and_set_the_filter(open_page: Open) -> None:
    value = payload()
    del value["runs"][0]["values"]["test/elbo"]
    tab = open_page(value)
    titles = tab.locator("#parallel .axis .title").all_text_contents()
    assert [title.split("\n")[0][: len("model")] for title in titles[:1]] == ["model"]
    assert len(titles) == 3
    assert tab.locator("#parallel .lines path").count() == 12
    assert tab.locator("#parallel .lines path.missing").count() == 1
    tab.locator("#parallel .word", has_text="model1").click()
    assert tab.input_value("#filter") == "model=model1"
    assert tab.locator("#parallel .lines path").count() == 6
    type_filter(tab, "")
    strip = tab.locator("#parallel .lead .strip")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    x = box["x"] + box["width"] / 2
    tab.mouse.move(x, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(x, box["y"] - 20)  # beyond the end: no upper bound
    tab.mouse.up()
    found = [run["values"].get("test/elbo", {"best": -math.inf})["best"] for run in value["runs"]]
    low = float(tab.input_value("#filter").removeprefix("test/elbo>="))
    assert low == pytest.approx((max(found) + min(filter(math.isfinite, found))) / 2, abs=0.5)
    kept = [number for number in found if number >= low]
    assert tab.locator("#parallel .lines path").count() == len(kept)
    tab.locator("#parallel .lines path").first.dispatch_event("click")
    assert tab.locator("#sheet").is_visible()


def test_the_slider_shows_of_each_run_the_nearest_step(open_page: Open) -> None:
    value = payload()
    first, second = value["runs"][:2]
    second["pictures"] = {"samples": [{**one, "step": one["step"] + 90}
                                      for one in second["pictures"]["samples"]]}  # fmt: skip
    tab = open_page(value)
    assert tab.locator("#picture-grid .card").count() == 4  # one of each group
    for run in (first, second):
        tab.check(f'[data-focus="choose {run["id"]}"]')

    def sources() -> list[str]:
        return tab.eval_on_selector_all("#picture-grid img", "nodes => nodes.map(n => n.src)")

    def shown(step: int) -> list[str]:
        lists = [pictures for run in (first, second) for pictures in run["pictures"].values()]
        return [min(one, key=lambda p: abs(p["step"] - step))["src"] for one in lists]

    steps = [200, 290, 600, 690, 1000, 1090]
    assert sources() == shown(1090)
    for place in (0, 1, 4):
        tab.fill("#slider", str(place))
        assert sources() == shown(steps[place])
        assert tab.inner_text("#picture-step") == str(steps[place])
    assert tab.locator("#picture-grid img").first.get_attribute("alt") == (
        f"samples of {first['label']} at step 1000"
    )
    tab.wait_for_selector("#picture-grid img.pixels")
    tab.click("#play")
    tab.locator("#picture-step", has_text="200").wait_for()
    tab.click("#play")
    assert tab.get_attribute("#play", "aria-pressed") == "false"


def test_a_search_has_its_front_history_importance_and_slices(open_page: Open) -> None:
    value = payload(pictures=False)
    value["search"] = search(value["runs"])
    tab = open_page(value)
    done = [trial for trial in value["search"]["trials"] if trial["values"]]
    complete = [trial["values"] for trial in done if trial["state"] == "complete"]
    front = [a for a in complete
             if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in complete)]  # fmt: skip
    line, points = traces(tab, "#search-plots figure:nth-child(1) .plot")
    assert [list(one) for one in zip(line["x"], line["y"], strict=True)] == sorted(front)
    assert points["x"] == [trial["values"][0] for trial in done]
    best, history = traces(tab, "#search-plots figure:nth-child(2) .plot")
    running, lowest = [], math.inf
    for trial in done:
        lowest = min(lowest, trial["values"][0] if trial["state"] == "complete" else math.inf)
        running.append(lowest)
    assert best["y"] == running
    assert history["y"] == [trial["values"][0] for trial in done]
    bars = traces(tab, "#search-plots figure:last-child .plot")[0]
    assert bars["x"] == [0.2, 0.8]
    slices = tab.locator("#slices figcaption").all_inner_texts()
    assert slices == ["loss.beta", "model"]
    assert tab.locator("#trial-table tbody tr").count() == 13
    tab.locator("#trial-table .link").first.click()
    assert value["runs"][0]["label"] in tab.inner_text("#sheet-h")
