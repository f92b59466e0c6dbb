"""The classifier distance grows with noise and with missing classes: five seeds, on digits."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "experiments" / "evaluation" / "run.py"


@pytest.fixture(scope="module")
def study() -> Any:
    spec = importlib.util.spec_from_file_location("evaluation_study", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found(study: Any) -> Any:
    return study.measure(*study.of_dataset("digits"), num=study.SIZES["digits"])


@pytest.mark.parametrize("kind", ["noise", "dropped"])
def test_the_distance_grows(found: Any, kind: str) -> None:
    means = [fmean(values) for values in found[kind].values()]
    for smaller, larger in pairwise(means):
        assert larger > smaller
    assert means[-1] > 5 * means[0]


def test_the_recorded_figures_are_these(found: Any, study: Any) -> None:
    recorded = json.loads((STUDY.parent / "results" / "digits.json").read_text())
    assert recorded["extractor"] == found["extractor"]
    for kind in ("noise", "dropped"):
        for level, values in found[kind].items():
            assert recorded[kind][level] == pytest.approx(values, rel=1e-3)


PAGES = (STUDY, ROOT / "experiments" / "priors" / "run.py", ROOT / "benchmarks" / "evaluation.py")


@pytest.mark.parametrize("program", PAGES, ids=lambda p: p.parent.name)
def test_page_and_results_agree(program: Path) -> None:
    done = subprocess.run([sys.executable, str(program), "--check"], check=False)
    assert done.returncode == 0
