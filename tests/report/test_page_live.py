"""The page of a dashboard: new data appears in place, and a server that is gone is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from page_browser import STUB, WAIT, watch
from page_payload import payload

from ganvas.report.html import SERVED_POLICY, page

TICK = 2500  # milliseconds: more than the page waits between two questions


class Server(ThreadingHTTPServer):
    """Serves the page and a payload that a test may change; `answers` are the codes it gave."""

    value: Any = None
    page: str = ""
    broken = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[int] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if self.path == "/":
            return self._answer(200, self.server.page.encode(), "text/html; charset=utf-8")
        body = json.dumps(self.server.value).encode()
        tag = f'"{hash(body)}"'
        code = 304 if self.headers["If-None-Match"] == tag else 200
        code = 500 if self.server.broken else code
        self.server.answers.append(code)
        return self._answer(code, body if code == 200 else b"", "application/json", tag)

    def _answer(self, code: int, body: bytes, kind: str, tag: str | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: STUB)
    with Server() as made:
        made.value = payload() | {"live": True}
        made.page = page(None, policy=SERVED_POLICY)
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_dashboard_updates_in_place_and_recovers(chromium: Any, server: Server) -> None:
    context = chromium.new_context(viewport={"width": 700, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(WAIT)
    faults: list[str] = []
    watch(tab, faults)
    tab.clock.install()
    tab.goto(f"http://127.0.0.1:{server.server_port}/")
    tab.wait_for_selector("html[data-ready='1']", state="attached")
    assert tab.inner_text("#live") == "Live"
    _choose(tab, server.value)

    _until(tab, lambda: server.answers.count(304) > 1)
    assert tab.get_attribute("html", "data-ready") == "1"  # nothing new: nothing drawn

    value = json.loads(json.dumps(server.value))
    value["runs"][3]["values"]["test/fid"]["final"] = 1234
    value["title"] = "more"
    server.value = value
    _until(tab, lambda: tab.get_attribute("html", "data-ready") == "2")
    assert tab.inner_text("#title") == "more"
    assert "1234" in tab.locator("#run-table tbody tr").last.inner_text()  # still sorted
    _kept(tab, value)
    assert tab.evaluate("document.activeElement.id") == "filter"

    server.broken = True
    _until(tab, _says(tab, "Connection lost"))
    server.broken = False
    _until(tab, _says(tab, "Live"))
    _kept(tab, value)
    _press_and_wait(tab, server, value)
    context.close()
    allowed = ("request: http://127.0.0.1", "console: Failed to load resource")
    assert [fault for fault in faults if not fault.startswith(allowed)] == []


def _press_and_wait(tab: Any, server: Server, value: dict[str, Any]) -> None:
    """What is pressed stays until it is let go."""
    tab.evaluate("() => scrollTo(0, 0)")
    tab.evaluate("() => { document.querySelector('#run-table').parentElement.scrollLeft = 0; }")
    box = tab.locator("#run-table tbody input").first.bounding_box()
    tab.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.mouse.down()
    server.value = {**value, "title": "even more"}
    asked = len(server.answers)
    _until(tab, lambda: len(server.answers) > asked + 1)
    assert tab.inner_text("#title") == "more"
    tab.mouse.up()
    _until(tab, lambda: tab.inner_text("#title") == "even more")
    assert tab.locator("#run-table tbody input:checked").count() == 2


def _until(tab: Any, holds: Callable[[], bool]) -> None:
    """Lets the page's clock tick until something holds."""
    for _ in range(500):
        tab.clock.fast_forward(TICK)
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came about")


def _says(tab: Any, text: str) -> Callable[[], bool]:
    return lambda: tab.inner_text("#live").startswith(text)


def _choose(tab: Any, value: dict[str, Any]) -> None:
    tab.locator("#run-table thead button", has_text="test/fid").click()
    tab.fill("#filter", "beta=2")
    tab.clock.run_for(10)
    tab.check(f'[data-focus="choose {value["runs"][4]["id"]}"]')
    tab.fill("#slider", "1")
    tab.focus("#filter")
    tab.evaluate("() => scrollTo(0, 500)")
    tab.evaluate("() => { document.querySelector('#run-table').parentElement.scrollLeft = 90; }")


def _kept(tab: Any, value: dict[str, Any]) -> None:
    assert tab.input_value("#filter") == "beta=2"
    assert tab.locator("#run-table tbody tr").count() == 6
    assert tab.is_checked(f'[data-focus="choose {value["runs"][4]["id"]}"]')
    assert tab.inner_text("#picture-step") == "600"
    assert tab.evaluate("scrollY") == 500
    assert tab.evaluate("document.querySelector('#run-table').parentElement.scrollLeft") == 90
