"""The page as one file: styles, plotly, scripts and data inside, nothing fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ganvas.errors import RunError
from ganvas.tracking.files import write_atomic

_BASE = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; "
)
FILE_POLICY = _BASE + "img-src data: blob:; connect-src 'none'"
"""Of a report: no network at all. plotly styles by `style` elements and exports by blobs."""

SERVED_POLICY = _BASE + "img-src 'self' data: blob:; connect-src 'self'"
"""Of a dashboard: its own address alone."""

_POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")[^"]*(">)')
_PLACES = re.compile(r"/\*\{(css|plotly|js)\}\*/|\{data\}")
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def script_json(value: Any) -> str:
    """Strict JSON that no HTML parser finds a tag, a comment or an entity in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode().translate(_ESCAPES)


def page(value: Mapping[str, Any] | None, *, policy: str = FILE_POLICY) -> str:
    """The whole page.

    Args:
        value: what `payload` made; None for a page that fetches `data.json`.
        policy: its Content-Security-Policy.
    """
    from plotly.offline import get_plotlyjs

    folder = files("ganvas.report") / "page"
    scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".js")), key=lambda f: f.name)
    parts = {
        "css": (folder / "page.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "js": "\n".join(script.read_text(encoding="utf-8") for script in scripts),
    }
    for name, text in parts.items():  # a package of another version might
        if "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
            raise RunError(f"the page can't be made: its {name} holds the end of a block")
    template = (folder / "page.html").read_text(encoding="utf-8")
    template, count = _POLICY.subn(lambda m: m[1] + policy + m[2], template)
    assert count == 1, "the template has one policy"
    data = script_json(value)
    return _PLACES.sub(lambda m: parts[m[1]] if m[1] else data, template)


def write_page(text: str, out: Path) -> int:
    """Writes the page in one step; the number of bytes.

    Raises:
        RunError: it could not be written; what was there before stands.
    """
    if out.exists() and not out.is_file():  # a device or a pipe would be replaced
        raise RunError(f"{out} is no file; choose another place with out=FILE")
    data = text.encode("utf-8")
    try:
        write_atomic(out, data)
    except OSError as error:
        raise RunError(
            f"{out} can't be written: {error.strerror or error}; free some space or choose "
            "another place with out=FILE"
        ) from error
    return len(data)
