"""Short loss curves that a refactor must reproduce.

Other vector units and thread counts give other bits, hence the tolerance. A change that is meant to
change the curves regenerates them with `python tests/test_golden.py --write` and says why.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import ganvas

MODELS = ("ae", "vae", "gan", "vq_vae", "iwae", "beta_tc_vae", "factor_vae")
STEPS = 12
FOLDER = Path(__file__).parent / "golden"

Curves = dict[str, list[float]]


def train_curves(model: str, runs_dir: Path) -> Curves:
    """Every loss part of each of the steps, as the run recorded them."""
    run = ganvas.train(
        [
            f"model={model}",
            "dataset=digits",
            "seed=0",
            "trainer=cpu",
            "trainer.num_threads=1",
            f"trainer.max_steps={STEPS}",
            "trainer.progress_bar=false",
            "logger=none",
            "callbacks.images=null",
            "test=false",
            f"paths.runs_dir={runs_dir}",
        ]
    )
    with (run.path / "trace.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row.pop("step")) for row in rows] == list(range(1, STEPS + 1))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


@pytest.fixture(autouse=True)
def _same_threads_after() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", MODELS)
def test_the_curves_are_as_they_were(model: str, tmp_path: Path) -> None:
    expected: Curves = json.loads((FOLDER / f"{model}.json").read_text(encoding="utf-8"))
    got = train_curves(model, tmp_path)
    assert got.keys() == expected.keys()
    for name, curve in expected.items():
        assert len(curve) == STEPS
        assert got[name] == pytest.approx(curve, rel=2e-3, abs=2e-4), name


@pytest.mark.parametrize("model", MODELS)
def test_the_same_run_twice_is_equal_to_the_bit(model: str, tmp_path: Path) -> None:
    assert train_curves(model, tmp_path) == train_curves(model, tmp_path)


def write() -> None:
    """Put this machine's curves in place of the committed ones."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            curves = json.dumps(train_curves(model, Path(folder)), indent=1)
            (FOLDER / f"{model}.json").write_text(curves + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python tests/test_golden.py --write")
    write()
