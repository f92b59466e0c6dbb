"""Two and three processes find what one finds: metrics by themselves, and `ganvas evaluate`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.engine_helpers import only_run, train
from evaluation.rank_worker import CASES, SHARES, WORLDS, pair, work
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.metrics.kernel import kernel_distance

Found = dict[tuple[int, int], dict[tuple[str, str], dict[str, torch.Tensor]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each rank of each world found, by case and shares."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, args=(str(folder),), nprocs=max(WORLDS))
    ranks = [(world, rank) for world in WORLDS for rank in range(world)]
    return {(w, r): torch.load(folder / f"{w}-{r}.pt", weights_only=True) for w, r in ranks}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("case", CASES)
def test_metrics_over_ranks_equal_one(found: Found, world: int, shares: str, case: str) -> None:
    real, fake = pair(case)
    expected = {
        "frechet": moments_distance(Moments.of(real), Moments.of(fake)),
        "kernel": torch.stack(kernel_distance(real, fake)),
        "counts": torch.tensor([len(real), len(fake)]),
    }
    for rank in range(world):
        values = found[world, rank][case, shares]
        for name, value in expected.items():
            torch.testing.assert_close(values[name], value, rtol=1e-10, atol=0)
        assert values["own"][0] == values["own"][1]  # each has its own images back


def evaluate(run: Path, *, ranks: int) -> tuple[list[str], list[dict[str, Any]]]:
    """What `ganvas evaluate` of some processes prints, and appends to the record."""
    before = len(json.loads((run / "run.json").read_text())["evaluations"])
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    command = [
        sys.executable,
        *(launcher if ranks > 1 else []),
        "-m",
        "ganvas",
        "evaluate",
        str(run),
    ]
    metrics = "metrics=[losses,samples,kernel,floor]"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, metrics, "num=300", "accelerator=cpu"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "run.json").read_text())["evaluations"]
    return done.stdout.splitlines(), record[before:]


@pytest.mark.slow
def test_evaluate_under_torchrun_equals_one_process(tmp_path: Path) -> None:
    assert train(f"paths.runs_dir={tmp_path}", "model=vae").code == 0
    run = only_run(tmp_path)
    lines, results = evaluate(run, ranks=1)
    values = {result["name"]: result["value"] for result in results}
    assert {"elbo", "fd_classifier", "kd_classifier", "floor_fd_classifier"} <= values.keys()
    for ranks in (2, 3):  # 300 images are two blocks: of three ranks one has none
        again, appended = evaluate(run, ranks=ranks)
        assert again == lines
        assert {result["name"]: result["value"] for result in appended} == values
        assert [result["protocol"] for result in appended] == [r["protocol"] for r in results]
