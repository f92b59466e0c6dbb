"""A browser for the tests of the report's page: one for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_browser import STUB, WAIT, watch

from ganvas.report.html import page as page_of

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser; a test that asks for it is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no chromium or chrome is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def open_page(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Opens the page of a payload; at the end nothing may have failed or been asked for.

    `real` is with plotly; else a stub takes the figures.
    """
    faults: list[str] = []
    contexts = []

    def opened(value: Any, *, real: bool = False, width: int = 1400, fragment: str = "") -> Any:
        file = tmp_path / f"report{len(contexts)}.html"
        with monkeypatch.context() as patch:
            if not real:
                patch.setattr("plotly.offline.get_plotlyjs", lambda: STUB)
            file.write_text(page_of(value), encoding="utf-8")
        context = chromium.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(WAIT)
        watch(tab, faults)
        tab.goto(file.as_uri() + fragment)
        tab.wait_for_selector("html[data-ready]", state="attached")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert faults == []
