"""README and docs/compare.md show the command and the table that the study recorded."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "experiments" / "sweeps" / "run.py"


@pytest.fixture
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sweep_study", STUDY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_show_what_was_recorded() -> None:
    done = subprocess.run(
        [sys.executable, str(STUDY), "--check"], cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_the_check_finds_another_command_or_table(
    study: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert study.faults() == []
    monkeypatch.setattr(study, "COMMAND", "ganvas train -m seed=0,1")
    assert len(study.faults()) == 3
    monkeypatch.undo()
    monkeypatch.setattr(study, "table", lambda: "| another |")
    assert study.faults() == ["docs/compare.md: lacks the recorded table"]


def test_all_cells_were_done() -> None:
    import json

    cells = json.loads((STUDY.parent / "record.json").read_text(encoding="utf-8"))["cells"]
    assert len({cell["config_hash"] for cell in cells}) == 12
    assert {cell["state"] for cell in cells} == {"done"}
