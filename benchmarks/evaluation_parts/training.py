"""What measures at each validation cost a training on MNIST, as a share of its wall time.

Epochs are cut short by `dataset.max_train`, never lengthened: with all 54,000 images an epoch is
longer and the share smaller. Measured is what the run itself records.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import ganvas

CASES = {
    "dense VAE": ["model=vae"],
    "DCGAN": ["model=dcgan", "network.generator.width=16", "network.critic.width=16"],
}


def measure(*, rounds: int = 1) -> list[dict[str, Any]]:
    """Rows of part, case, ours_s, training_s and share; `metrics=samples` at its defaults."""
    root = Path(os.environ.get("GANVAS_DATA_DIR", "data"))
    if not (root / "MNIST").is_dir():
        return [{"part": "training", "case": "not run: no MNIST under GANVAS_DATA_DIR"}]
    with tempfile.TemporaryDirectory() as folder:
        return [_cost(case, rounds=rounds, folder=folder) for case in CASES]


def _cost(case: str, *, rounds: int, folder: str) -> dict[str, Any]:
    run = ganvas.train(
        [
            *CASES[case],
            "dataset=mnist",
            "metrics=samples",
            "trainer.num_threads=2",
            f"trainer.max_epochs={2 * rounds}",
            "trainer.progress_bar=false",
            "test=false",
            "logger=none",
            f"paths.runs_dir={folder}",
        ]
    )
    spent = run.record["evaluation_time"]
    return {
        "part": "training",
        "case": f"{case}, metrics=samples at each of {2 * rounds} epochs",
        "ours_s": spent["seconds"],
        "training_s": spent["of"],
        "share": spent["seconds"] / spent["of"],
    }


if __name__ == "__main__":
    for row in measure():
        print(row)
