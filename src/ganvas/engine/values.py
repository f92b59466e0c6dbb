"""What any value of a config may be, whatever its key: plain, and of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganvas.errors import ConfigError

MAX_VALUES = 100_000
"""Of one config: a file of aliases of aliases stands for billions."""

MAX_DEPTH = 50
MAX_TEXT = 10_000
MAX_WHOLE = 2**63
_SHOWN = 200


def brief(value: Any) -> str:
    """`repr(value)`, cut where it is long."""
    if isinstance(value, int) and abs(value) >= MAX_WHOLE:  # Python writes no very long numbers
        return f"a number of {value.bit_length()} bits"
    try:
        text = repr(value)
    except ValueError:  # such a number in a list
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def check_values(config: Any) -> None:
    """Every value is one that a run can record, compute with and be rebuilt from.

    Raises:
        ConfigError: for the first that is not, with its key.
    """
    for count, (key, value) in enumerate(_leaves(config, "", 0)):
        if count >= MAX_VALUES:
            raise ConfigError(f"the config has more than {MAX_VALUES:,} values; use a smaller one")
        if fault := _fault(value):
            raise ConfigError(f"{key}: {fault}, got {brief(value)}")


def _leaves(node: Any, key: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Keys and values; a container comes before what is in it."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"{key[:100]}…: lies more than {MAX_DEPTH} levels deep; nest it less")
    yield key, node
    if isinstance(node, dict):
        for name, child in node.items():
            inner = f"{key}.{name}" if key else str(name)
            if not isinstance(name, str) or not name:
                raise ConfigError(f"{key or 'config'}: keys must be text, got {brief(name)}")
            yield from _leaves(child, inner, depth + 1)
    elif isinstance(node, list | tuple):
        for position, child in enumerate(node):
            yield from _leaves(child, f"{key}.{position}", depth + 1)


def _fault(value: Any) -> str | None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            return "must be text without NUL and half characters"
        if len(value) > MAX_TEXT:
            return f"must be text of at most {MAX_TEXT:,} characters"
        return "a value is required" if value == "???" else None
    if isinstance(value, int) and abs(value) >= MAX_WHOLE:
        return "must be a whole number of at most 64 bits"
    if isinstance(value, bool | int | float | dict | list | tuple | None):
        return None
    return "must be text, a number, true or false, null, a list or a mapping"
