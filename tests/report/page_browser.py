"""What the tests of the report's page do in a browser."""

from __future__ import annotations

from typing import Any

WAIT = 30_000  # milliseconds: far more than any step takes
STUB = """globalThis.Plotly = {
  react(node, data, layout) { Object.assign(node, { data, layout, on: () => {} }); },
  purge(node) { delete node.data; },
};"""
"""Takes what plotly is given: it takes two seconds to start, and most tests draw nothing."""


def watch(tab: Any, faults: list[str]) -> None:
    """Notes what a page reports, and each address it asks for besides itself."""
    tab.on("console", lambda message: faults.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: faults.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: (faults.append("dialog"), dialog.dismiss()))
    tab.on(
        "request",
        lambda request: (
            request.url.startswith(("file:", "data:")) or faults.append(f"request: {request.url}")
        ),
    )


def type_filter(tab: Any, text: str) -> None:
    """Types into the filter's box, and waits until the page has followed."""
    tab.fill("#filter", text)
    tab.evaluate("() => new Promise(done => setTimeout(done, 0))")
