"""Adding a model as the README tells it: its two files and its command, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ganvas

ROOT = Path(__file__).parents[1]
SECTION = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("## Add a model")[1].split("\n## ")[0]
)
TINY = ["dataset.max_train=100", "trainer=cpu", "trainer.max_epochs=2", "logger=none"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the files of the section and nothing else."""
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", SECTION, re.DOTALL)
    assert sorted(Path(name).suffix for name, _ in blocks) == [".py", ".yaml"]
    for name, text in blocks:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_model_is_added_as_the_readme_tells_it(place: Path) -> None:
    told = re.search(r"`ganvas (train --config-dir [^`]+)`", SECTION)
    assert told is not None
    done = subprocess.run(
        [sys.executable, "-m", "ganvas", *shlex.split(told[1]), *TINY],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "GANVAS_RUNS_DIR": str(place / "runs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = next((place / "runs" / "noisy_code_ae_digits").iterdir())
    values = ganvas.load_run(folder).metrics().iloc[-1]
    assert values["test/loss"] == pytest.approx(values["test/mse"] + 0.1 * values["test/norm"])
    assert (folder / "samples").is_dir()
