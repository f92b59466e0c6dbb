"""What of a config is written down: no secrets, and a hash of what decides the result."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "***"

UNHASHED_KEYS = ("paths", "logger", "name", "full_error", "check", "resume", "hydra")
"""Top-level keys that say where a run is kept, shown or reported, never what it computes.

Everything else is hashed, `seed` too. Strings that begin with one of the folders in `paths`
(`dataset.root`, say) count from that folder on, so that two machines get one hash.
"""

_MIN_SECRET_LENGTH = 8  # shorter values of the environment would hide ordinary words
_SECRET_WORDS = (
    r"api_?key|access_key|private_key|secret_key|token|passwd|password|secret|credentials?"
)
_SECRET_KEY = re.compile(rf"(?:^|[_.\-/])({_SECRET_WORDS})$", re.IGNORECASE)
_REFERENCE = r"""["']?\$\{oc\.env:\w+\}"""  # names a secret of the environment, and is none itself
_SECRET_ASSIGNMENT = re.compile(  # also `"api_key": …`, `api_key: str = …`, `x["api_key"] = …`
    rf"""((?:^|[\s'"+~,{{\[])[\w.+~/@\-]*?(?:{_SECRET_WORDS})["'\]]{{0,2}}(?:\s*:\s*\w+(?=\s*=))?"""
    rf"""\s*[=:]\s*)(?!{_REFERENCE})"""
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s,'"}]+)""",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def secret_key(key: str) -> str | None:
    """The secret word that `key` ends in ("token" of `hubToken`), or None.

    `num_tokens` and `tokenizer` are none; `api_key`, `WANDB_API_KEY`, `auth-token` are.
    """
    match = _SECRET_KEY.search(_CAMEL.sub("_", key))
    return match.group(1).lower() if match else None


def environment_secrets(environment: Mapping[str, str] | None = None) -> list[str]:
    """Values of environment variables named like secrets, the longest first."""
    source = os.environ if environment is None else environment
    found = {value for key, value in source.items() if secret_key(key)}
    return sorted((v for v in found if len(v) >= _MIN_SECRET_LENGTH), key=len, reverse=True)


_met: set[str] = set()
"""Values that a config of this process holds under secret keys: an error may tell them."""


def remember(config: Any) -> None:
    """Take a config's secrets for such in all that this process writes from now on."""
    _met.update(_under_keys(config))


def _under_keys(node: Any) -> Iterator[str]:
    """Texts under secret keys, long enough to be no ordinary word."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if isinstance(value, str) and len(value) >= _MIN_SECRET_LENGTH and _hides(key, value):
                yield value
            yield from _under_keys(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _under_keys(value)


def _known(*more: str) -> list[str]:
    return sorted({*environment_secrets(), *_met, *more}, key=len, reverse=True)


def redact(value: Any, *, secrets: Iterable[str] | None = None) -> Any:
    """A copy of nested dicts, lists and scalars with every secret replaced by `***`.

    Secret are the values under a key named like one (numbers under `…token` are kept: they are
    token indices) and any text that contains the value of such an environment variable, or one
    that was remembered.
    """
    known = _known(*_under_keys(value)) if secrets is None else list(secrets)
    if isinstance(value, Mapping):
        return {
            key: REDACTED if _hides(key, item) else redact(item, secrets=known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, secrets=known) for item in value]
    return _without(value, known) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """A command line, override or log text with every secret replaced by `***`."""
    return _SECRET_ASSIGNMENT.sub(rf"\g<1>{REDACTED}", _without(text, _known()))


def secretless(value: Any) -> Any:
    """A copy in which no text holds a secret, whatever key it stands under."""
    if isinstance(value, Mapping):
        return {key: secretless(item) for key, item in redact(value).items()}
    if isinstance(value, list | tuple):
        return [secretless(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def _hides(key: Any, value: Any) -> bool:
    word = secret_key(str(key))
    if word is None or value is None or isinstance(value, bool) or value == "":
        return False
    return not (word == "token" and isinstance(value, int | float))


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, REDACTED)
    return text


def _forms(secret: str) -> Iterable[str]:
    """As it is, and as JSON, YAML and Python's tracebacks write it."""
    escaped = (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret))
    return dict.fromkeys([*(text[1:-1] for text in escaped), secret])


def config_hash(config: Mapping[str, Any]) -> str:
    """sha256 (hex) of the canonical JSON of what `deciding` leaves of a redacted config."""
    text = json.dumps(deciding(config), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config less `UNHASHED_KEYS`, the same on every machine: see there."""
    paths = config.get("paths") or {}
    folders = {str(v): f"<paths.{k}>" for k, v in paths.items() if isinstance(v, str) and v}
    ordered = dict(sorted(folders.items(), key=lambda item: -len(item[0])))
    kept = {key: value for key, value in config.items() if key not in UNHASHED_KEYS}
    return {str(key): _portable(value, ordered) for key, value in kept.items()}


def _portable(value: Any, folders: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _portable(item, folders) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item, folders) for item in value]
    if isinstance(value, str):
        for folder, mark in folders.items():
            if value == folder or value.startswith(folder.rstrip("/") + "/"):
                return mark + value[len(folder.rstrip("/")) :]
    return value
