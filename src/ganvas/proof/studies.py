"""Studies: each recorded result is the record of a run, as far as it goes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganvas.engine.check import check_composed
from ganvas.engine.command import searched
from ganvas.engine.compose import compose
from ganvas.engine.portable import with_own_folders
from ganvas.errors import GanvasError, RunError
from ganvas.proof.original import Original
from ganvas.proof.synthetic import lay_out
from ganvas.tracking.redact import redact

LACKS = ("a trace", "pictures")
_KEPT = (
    "seed", "dataset_fingerprint", "choices", "hardware", "packages", "weights", "protocol",
    "code", "determinism", "command",
)  # fmt: skip


def find(path: Path) -> list[Path]:
    """The results of a study: `results/*.json` or `results-*.json` in its folder, or one file."""
    if path.is_file():
        return [path] if path.suffix == ".json" and _is_result(path) else []
    files = sorted([*path.glob("results/*.json"), *path.glob("results-*.json")])
    if files or path.name != "results":
        return [file for file in files if _is_result(file)]
    return [file for file in sorted(path.glob("*.json")) if _is_result(file)]


def _is_result(file: Path) -> bool:
    """Whether it tells of one training."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or "format_version" in content:  # a run.json
        return False
    return "config_hash" in content and "seed" in content


def original(file: Path, *, trust: Sequence[str] = ()) -> Original:
    """The record in a result; with a fault where it can't be compared.

    Raises:
        RunError: if the file, or the cache, can't be used.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        facts = _facts(file, result)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file} is damaged ({type(error).__name__}: {error})") from error
    config, fault = _config(result, trust)
    fault = fault or _nothing_to_compare(facts)
    lacks = LACKS if facts.get("weights") else ("weights", *LACKS)
    recomposed = not isinstance(result.get("config"), dict)
    folder = lay_out(config, facts)
    return Original(str(file), "study", folder, lacks, fault, recomposed=recomposed)


def _config(result: Mapping[str, Any], trust: Sequence[str]) -> tuple[dict[str, Any], str]:
    """As recorded, else composed from what was typed; and why there is none."""
    if isinstance(result.get("config"), dict):
        return dict(with_own_folders(result["config"])), ""
    try:
        search, overrides = searched(_typed(result))
        composed = compose(overrides, search=search)
        config = redact(check_composed(composed, trust=trust).config)
    except (GanvasError, ValueError) as error:
        return {}, f"its command can't be composed any more: {str(error).splitlines()[0]}"
    return config, ""


def _typed(result: Mapping[str, Any]) -> list[str]:
    """Overrides of `ganvas train`: of the command, or, where none is told, the choices."""
    command = _command(result)
    if command is None:
        chosen = [f"{group}={option}" for group, option in result["choices"].items()]
        return [*chosen, f"seed={result['seed']}"]
    words = shlex.split(command)
    if words[:2] != ["ganvas", "train"]:
        raise ValueError(f"{command[:40]} … is no `ganvas train`")
    return words[2:]


def _command(result: Mapping[str, Any]) -> str | None:
    """What trained."""
    return result.get("command") or next(iter(result.get("commands") or []), None)


def _facts(file: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `run.json`."""
    commit = result.get("commit")
    return {
        **{key: result[key] for key in _KEPT if key in result},
        "name": str(result.get("name") or file.stem),
        "command": _command(result),
        "config_hash": result["config_hash"],
        "git": {"sha": commit} if commit else None,
        "status": "failed" if result.get("reason") else result.get("status") or "finished",
        "reason": result.get("reason"),
        "metrics": _metrics(result),
        "evaluations": _evaluations(result),
    }


def _metrics(result: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of `run.json`; of a bare number, the final value."""
    found = dict(result.get("metrics") or {})
    if found:
        return found
    steps = int(result.get("steps") or 0)
    for split in ("val", "test"):
        for name, value in (result.get(split) or {}).items():
            whole = isinstance(value, dict)
            found[name] = value if whole else {"final": {"value": float(value), "step": steps}}
    return found


def _evaluations(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a study of priors: values by prior, each by a command of its own."""
    commands = [shlex.split(text) for text in result.get("commands") or []]
    asked = {
        word.removeprefix("prior="): words[3:]
        for words in commands
        if words[:3] == ["ganvas", "evaluate", "RUN"]
        for word in words[3:]
        if word.startswith("prior=")
    }
    steps = [word for words in commands[:1] for word in words if word.startswith("trainer.max_st")]
    protocol = result.get("protocol") or {}
    return [
        {
            "name": name, "split": protocol.get("split", "test"), "value": value,
            "uncertainty": None, "checkpoint": "last.ckpt", "protocol": protocol,
            "provenance": {
                "command": asked[prior], "prior": prior, "run_seed": result["seed"],
                "step": int(steps[0].partition("=")[2]) if steps else None,
            },
        }
        for prior, values in (result.get("values") or {}).items()
        if prior in asked
        for name, value in values.items()
    ]  # fmt: skip


def _nothing_to_compare(facts: Mapping[str, Any]) -> str:
    if facts["metrics"] or facts["evaluations"] or facts.get("weights"):
        return ""
    return (
        "its values were measured by the study's own script, and none of them is a value of the "
        "run's record; `python run.py` of the study measures them again"
    )
