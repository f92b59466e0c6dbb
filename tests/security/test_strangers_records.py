"""A run's own files from a stranger: nothing in them is resolved, built, or without bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_helpers import ganvas

from ganvas.engine.runs import read_config
from ganvas.engine.values import MAX_TEXT, check_values
from ganvas.errors import ConfigError, RunError
from ganvas.tracking.files import read_run_json

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""A few lines that stand for 9⁹ values."""

HOSTILE = {
    "aliases of aliases": (BOMB, "the config has more than 100,000 values"),
    "an alias of itself": ("a: &a [*a]\n", "lies more than 50 levels deep"),
    "a deep list": ("a: " + "[" * 5000 + "]" * 5000, "can't be read"),
    "a less deep one": ("a: " + "[" * 80 + "]" * 80, "lies more than 50 levels deep"),
    "a huge number": ("seed: " + "9" * 5000, "can't be read"),
    "a large number": ("seed: " + "9" * 400, "seed: must be a whole number of at most 64 bits"),
    "a NUL byte": ("notes: a\0b", "can't be read"),
    "an escaped NUL": ('notes: "a\\0b"', "notes: must be text without NUL"),
    "a long text": (f"notes: {'x' * (MAX_TEXT + 1)}", "notes: must be text of at most 10,000"),
    "a date": ("notes: 2024-01-01", "notes: must be text, a number, true or false"),
    "no date": ("notes: 2024-99-99", "can't be read"),
    "bytes": ("notes: !!binary aGk=", "notes: must be text, a number, true or false"),
    "a tag": ("notes: !!python/name:os.system ''", "can't be read"),
    "a number as key": ("model: {1: 2}", "model: keys must be text, got 1"),
    "a list as key": ("{[1, 2]: 3}", "can't be read"),
    "a missing value": ("seed: '???'", "seed: a value is required"),
}


def stranger(folder: Path, text: str) -> Path:
    (folder / "run.json").write_text('{"format_version": 1, "id": "a", "status": "finished"}')
    (folder / "config.yaml").write_bytes(text.encode())
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_one_clear_line(name: str, tmp_path: Path) -> None:
    text, fault = HOSTILE[name]
    run = stranger(tmp_path, text)
    with pytest.raises(RunError) as refusal:
        read_config(run)
    said = str(refusal.value)
    assert fault in said and said.endswith("restore it")
    assert "\n" not in said and len(said) < 1000


def test_hostile_configs_are_refused_by_the_commands(tmp_path: Path) -> None:
    run = stranger(tmp_path, BOMB)
    for command in (["evaluate", str(run)], ["sample", str(run)], ["train", f"resume={run}"]):
        said = ganvas(*command)
        assert said.code == 2 and "more than 100,000 values" in said.message, said.err


def test_a_deep_record_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match="is damaged: not valid JSON"):
        read_run_json(tmp_path)


def test_no_interpolation_of_a_recorded_config_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-of-the-environment")
    text = "${oc.env:WANDB_API_KEY}"
    node = f"${{oc.decode:'{{_target_: os.mkdir, path: {tmp_path / 'canary'}}}'}}"
    config = {"notes": text, "loss": node, "seed": "${now:%Y}", "name": "${hydra:job.name}"}
    assert read_config(stranger(tmp_path, yaml.safe_dump(config))) == config


@pytest.mark.parametrize("value", [0, -3, 2**62, 0.5, "", "x", None, True, [], {}, {"a": [1]}, "ü"])
def test_ordinary_values_are_let_through(value: Any) -> None:
    check_values({"a": {"b": [value]}})
    with pytest.raises(ConfigError, match=r"^a\.b\.0: "):
        check_values({"a": {"b": [2**64, value]}})
