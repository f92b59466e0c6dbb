"""docs/latent.md shows a picture of each tool, drawn by the command beside it."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ganvas.engine.command import command_settings
from ganvas.engine.compose import options
from ganvas.engine.settings import LatentSettings
from ganvas.engine.targets import check_node
from test_docs import bash_lines

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "experiments" / "latent" / "run.py"
PAGES = [ROOT / "docs" / "latent.md", ROOT / "README.md", ROOT / "docs" / "evaluation.md"]
COMMANDS = sorted(
    {
        line.split(" #")[0].strip()
        for page in PAGES
        for line in bash_lines(page.read_text(encoding="utf-8"))
        if line.startswith("ganvas latent RUN") and "--config-dir" not in line
    }
)


@pytest.fixture
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("latent_study", STUDY)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["latent_study"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_tool_has_its_picture_and_the_page_shows_it() -> None:
    done = subprocess.run(
        [sys.executable, str(STUDY), "--check"], cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


def test_the_check_finds_what_is_missing(study: ModuleType) -> None:
    assert study.faults() == []
    drawn = study.SHOWN.pop()
    assert study.faults() == [f"{drawn.name}: no picture in latent.yaml"]
    study.SHOWN.append(study.Shown(drawn.name, drawn.run, (*drawn.overrides, "seed=9")))
    assert study.faults() == [f"{drawn.name}: drawn by another command"]
    study.SHOWN[-1] = study.Shown("nowhere", drawn.run, drawn.overrides)
    assert study.faults() == ["nowhere: not drawn"]


def test_every_tool_has_a_section() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", text, re.MULTILINE)) == set(options("tool"))


def test_texts_name_no_folder_of_a_machine() -> None:
    for file in (ROOT / "experiments" / "latent" / "pictures").glob("*.yaml"):
        assert not re.search(r"(^|[\s'\"=])/\w", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command: str) -> None:
    overrides = shlex.split(command)[3:]
    settings = command_settings(LatentSettings, "latent", "RUN", overrides)
    check_node(settings.tool, key="tool", trust=())


def test_commands_are_found() -> None:
    tools = {word for line in COMMANDS for word in shlex.split(line) if word.startswith("tool=")}
    assert tools == {f"tool={name}" for name in options("tool")}
