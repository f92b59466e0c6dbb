"""Configs as flat mappings, and which of their keys tell runs apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganvas.report.view import RunView

ABSENT = "—"
"""Stands for a key that a run has not."""

_UNDECIDED = ("paths", "logger", "hydra")


def flat_config(config: Mapping[str, Any], choices: Mapping[str, Any]) -> dict[str, Any]:
    """`{"loss.beta": 4, "model": "vae", …}`: lists are values; a group's name holds its choice."""
    flat = {group: str(option) for group, option in choices.items() if group not in _UNDECIDED}
    flat.update(_leaves(config))
    return flat


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        elif not isinstance(value, Mapping):
            yield f"{prefix}{key}", value


def typed_keys(overrides: Any) -> list[str]:
    """Keys of what a user typed, `+`, `++` and `~` removed."""
    if not isinstance(overrides, list):
        return []
    return [re.split(r"=", str(text).lstrip("+~"), maxsplit=1)[0] for text in overrides]


def same(value: Any) -> str:
    """A text that two values share only if they are equal: 1 and 1.0 do, 1 and "1" do not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value)) if abs(value) < 2**53 else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(same, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{k!r}: {same(v)}' for k, v in value.items()))}}}"
    return f"{type(value).__name__}:{value!r}"


def digest(values: Mapping[str, Any]) -> str:
    """Twelve hex digits, equal for mappings whose values are the `same`."""
    return hashlib.sha256(same(values).encode()).hexdigest()[:12]


def varying_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values differ between some configs, one that is missing included."""
    keys = dict.fromkeys(key for config in configs for key in config)
    missing = object()
    return [
        key for key in keys if len({same(c[key]) if key in c else missing for c in configs}) > 1
    ]


def telling_keys(configs: Sequence[Mapping[str, Any]], *, typed: Sequence[str] = ()) -> list[str]:
    """Few keys that tell the configs apart as finely as all of them do.

    Keys that were typed come first, then groups, then the others; a key that adds nothing to the
    ones before it (`network` where `model` brings it along) is left out.
    """
    varying = varying_keys(configs)
    order = sorted(varying, key=lambda k: (k not in typed, "." in k, varying.index(k)))
    finest = len({tuple(same(c.get(key, ABSENT)) for key in varying) for c in configs})
    classes = [0] * len(configs)
    chosen: list[str] = []
    count = 1
    for key in order:
        if count == finest:
            break
        numbers: dict[tuple[int, str], int] = {}
        finer = [
            numbers.setdefault((seen, same(config.get(key, ABSENT))), len(numbers))
            for seen, config in zip(classes, configs, strict=True)
        ]
        if len(numbers) > count:
            classes, chosen, count = finer, [*chosen, key], len(numbers)
    return chosen


def label_of(run: RunView, keys: Sequence[str]) -> str:
    """`model=vae loss.beta=4 seed=0`."""
    parts = [f"{key}={run.config[key]}" for key in keys if key in run.config]
    parts += [] if run.seed is None else [f"seed={run.seed}"]
    return " ".join(" ".join(parts).split()) or run.name
