"""The report's page with text that wants to be code, with 500 runs, and on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from page_browser import type_filter
from page_payload import payload, search

Open = Callable[..., Any]

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!-- <script>",
    '"><svg onload=alert(3)>',
    "{data} /*{js}*/ %{text} ${1+1}",
    "<b>bold</b> <a href='https://example.org'>link</a>",
    "נסיון \u202eleft\u202c 🜁 e\u0301 \u2028 \u0000",
]


METRIC = HOSTILE[0] + HOSTILE[5]


def hostile() -> dict[str, Any]:
    """A payload in which every text is hostile, and some keys are names of JavaScript's own."""
    value = payload()
    value["search"] = search(value["runs"])
    value |= {"title": HOSTILE[1], "problems": HOSTILE, "notes": HOSTILE}
    value["metrics"] = [{"name": METRIC, "higher": True}, {"name": "__proto__", "higher": None}]
    value["keys"] = ["__proto__", "constructor", HOSTILE[0], "seed"]
    value["shared"] = {"toString": HOSTILE[2]}
    for i, run in enumerate(value["runs"]):
        text = HOSTILE[i % len(HOSTILE)]
        run |= {
            "name": text,
            "label": f"__proto__=1 {HOSTILE[0]}={text}",
            "reason": text,
            "status": text,
        }
        run["status"] = "finished" if i % 2 else text
        run["config"] = {"__proto__": text, "constructor": i % 3, HOSTILE[0]: text, "seed": i}
        number = {"final": float(i), "best": None, "step": 1, "uncertainty": None}
        run["values"] = {METRIC: number, "__proto__": number}
        run["curves"] = {METRIC: run["curves"]["val/elbo"]}
        run["provenance"] |= {"command": text, "git": {text: text}, "__proto__": {"a": text}}
        run["provenance"]["wandb"] = {"url": "javascript:alert(4)"}
    for group in value["groups"]:
        group["label"] = HOSTILE[0]
    for trial in value["search"]["trials"]:
        trial["params"] = {"__proto__": HOSTILE[0], HOSTILE[1]: 1.0}
    return value


def test_hostile_text_is_shown_and_runs_nothing(open_page: Open) -> None:
    value = json.loads(json.dumps(hostile()).replace("\\u0000", ""))
    tab = open_page(value, real=True, width=390)
    assert tab.text_content("#title") == HOSTILE[1]
    problems = tab.locator("#problems li").all_text_contents()
    assert problems == [text.replace("\0", "") for text in HOSTILE]
    assert tab.locator("main :is(svg[onload], script, img[onerror], b)").count() == 0
    assert tab.locator("main a, #sheet a").count() == 0
    assert METRIC in tab.locator("#run-table thead").text_content()
    assert tab.locator("#group-table thead button", has_text="__proto__").count() == 2
    for box in tab.locator("#run-table tbody input").all()[:2]:
        box.check()
    assert "__proto__" in tab.text_content("#diff-table")
    assert tab.locator("#curve-plot .ytitle").text_content() == METRIC
    tab.locator("#run-table .link").nth(1).click()
    assert value["runs"][1]["provenance"]["command"] in tab.text_content("#sheet .command")
    assert tab.locator("#sheet a").count() == 0
    assert overflow(tab) == 0
    assert tab.evaluate("({}).a === undefined && Object.prototype.a === undefined")


def overflow(tab: Any) -> int:
    return tab.evaluate("() => document.documentElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_page_is_wider_than_its_screen(open_page: Open, width: int) -> None:
    value = payload(models=3)
    value["search"] = search(value["runs"])
    for run in value["runs"]:
        run["name"] = "x" * 90
        run["config"]["model"] = "y" * 200
        run |= {"status": "failed", "reason": "z" * 300}
    tab = open_page(value, width=width)
    assert overflow(tab) == 0
    for box in tab.locator("#run-table tbody input").all()[:5]:
        box.check()
    tab.click("#columns summary")
    assert overflow(tab) == 0
    tab.click("h1")
    assert tab.locator("#columns div").is_hidden()
    tab.locator("#run-table .link").first.click()
    assert overflow(tab) == 0
    assert tab.evaluate("document.querySelector('#sheet').scrollWidth") <= width


def test_500_runs_are_paged_sorted_and_filtered(open_page: Open) -> None:
    value = payload(models=20, betas=5, seeds=5, pictures=False)
    assert len(value["runs"]) == 500
    tab = open_page(value)
    assert tab.locator("#run-table tbody tr").count() == 100
    assert "1–100 of 500" in tab.inner_text("#pager")
    tab.click("#pager button:has-text('Later')")
    first = tab.locator("#run-table .link").first.get_attribute("data-focus")
    assert first == f"name {value['runs'][100]['id']}"
    tab.locator("#run-table thead button", has_text="test/elbo").click()
    worst = min(value["runs"], key=lambda run: run["values"]["test/elbo"]["best"])
    first = tab.locator("#run-table .link").first.get_attribute("data-focus")
    assert first == f"name {worst['id']}"
    tab.fill("#filter", "model=model19 seed=0")
    tab.locator("#filter-note", has_text="5 of 500 runs").wait_for()
    assert tab.locator("#run-table tbody tr").count() == 5
    assert tab.inner_text("#pager") == ""
    assert tab.locator("#parallel .lines path").count() == 5
    assert overflow(tab) == 0


def test_little_is_shown_as_little(open_page: Open) -> None:
    value = payload(models=1, betas=1, seeds=1)
    only = value["runs"][0]
    only |= {"status": "queued", "seconds": None, "peak_mib": {}, "values": {}, "curves": {}}
    only |= {"pictures": {}, "protocols": {}, "provenance": {}, "created": None, "finished": None}
    value |= {"metrics": [], "keys": [], "protocols": {}}
    tab = open_page(value)
    assert tab.locator("#run-table tbody tr").count() == 1
    assert "No run has a curve" in tab.inner_text("#curve-plot")
    tab.locator("#run-table .link").click()
    assert "The run has no value yet" in tab.inner_text("#sheet")
    tab = open_page(value | {"runs": [], "groups": []})
    assert tab.inner_text("#summary").startswith("0 runs · made")
    type_filter(tab, "model=x")
    assert tab.locator("#run-table tbody tr").count() == 0
