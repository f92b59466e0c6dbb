"""What it costs that a run can be proved: its record, and the deterministic mode.

    python benchmarks/proof.py [--rounds 5] [--steps 200] [--output benchmarks/results]

Each run is a whole `ganvas train` (W&B and pictures off) on MNIST (or, where GANVAS_DATA_DIR has
none, on digits), in one process:

* record: the share of a run's wall time, from its folder to its end, that goes into what
  reproducing and resuming need beyond a checkpoint's own writing: what is noted at the start (code,
  packages, hardware), the trace of every step with its copy from the device, hashes of
  checkpoints, the states of random numbers. Measured inside the run that it is a share of.
* deterministic: training seconds with `trainer.deterministic=true` over those with `false`,
  interleaved, the median and the range over rounds.

Nothing is asserted: this is a measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pkgutil
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from ganvas.engine.check import check_overrides
from ganvas.engine.train import train_checked

CASES = {
    "dense VAE": ["model=vae", "network.encoder.hidden=[400]", "network.decoder.hidden=[400]"],
    "convolutional VAE": ["model=conv_vae"],
    "VQ-VAE": ["model=vq_vae"],
    "DCGAN": ["model=dcgan", "network.generator.width=16", "network.critic.width=16"],
}
RECORDING = (
    "ganvas.tracking.record._first_content",
    "ganvas.engine.train._conditions",
    "ganvas.tracking.record.RunRecord.log_trace",
    "ganvas.callbacks.figures._fetch",
    "ganvas.engine.checkpoint_files._hashes",
    "ganvas.engine.train.weights_hashes",
    "ganvas.callbacks.random_state.RandomState.state_dict",
)


@contextlib.contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Seconds of every call of what records, by its name."""

    def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

        return call

    patches = []
    for path in RECORDING:
        target, _, name = path.rpartition(".")
        original = getattr(pkgutil.resolve_name(target), name)
        patches.append(mock.patch(path, around(name, original)))
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def train(case: str, folder: Path, *, dataset: str, steps: int, deterministic: bool) -> float:
    """One run; its training seconds."""
    overrides = [
        *CASES[case],
        f"dataset={dataset}",
        "trainer=cpu",
        "trainer.max_epochs=null",
        f"trainer.max_steps={steps}",
        f"trainer.deterministic={str(deterministic).lower()}",
        "trainer.progress_bar=false",
        "logger=none",
        "callbacks.images=null",
        "test=false",
        "dataset.val_size=0",
        f"paths.runs_dir={folder}",
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        run = train_checked(check_overrides(overrides), overrides=overrides).folder
    last = (run / "metrics.csv").read_text().splitlines()[-1]
    return float(last.split(",")[2])


def record_share(case: str, folder: Path, *, dataset: str, steps: int) -> dict[str, Any]:
    """Seconds of one run, and the share of what records."""
    spent: dict[str, float] = {}
    began = time.perf_counter()
    with timed(spent):
        train(case, folder, dataset=dataset, steps=steps, deterministic=True)
    wall = time.perf_counter() - began
    return {
        "steps": steps,
        "seconds": round(wall, 2),
        "share": round(sum(spent.values()) / wall, 5),
        "milliseconds": {name: round(1000 * value, 1) for name, value in spent.items()},
    }


def deterministic_ratio(
    case: str, folder: Path, *, dataset: str, steps: int, rounds: int
) -> dict[str, Any]:
    """Time with the mode over time without, round by round."""
    ratios = []
    for turn in range(rounds):
        modes = (True, False) if turn % 2 == 0 else (False, True)
        took = {
            mode: train(case, folder, dataset=dataset, steps=steps, deterministic=mode)
            for mode in modes
        }
        ratios.append(took[True] / took[False])
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def main() -> None:
    """Measure, print and write."""
    from ganvas.tracking import provenance

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=None, help="folder for proof.json")
    options = parser.parse_args()
    root = Path(os.environ.get("GANVAS_DATA_DIR", "data"))
    dataset = "mnist" if (root / "MNIST").is_dir() else "digits"
    results: dict[str, Any] = {"dataset": dataset, "rounds": options.rounds}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case in CASES:
            train(case, folder, dataset=dataset, steps=20, deterministic=True)  # warm-up
            record = record_share(case, folder, dataset=dataset, steps=5 * options.steps)
            mode = deterministic_ratio(
                case, folder, dataset=dataset, steps=options.steps, rounds=options.rounds
            )
            results[case] = {"record": record, "deterministic": mode}
            low, high = mode["ratio_range"]
            print(
                f"{case:<18} record {100 * record['share']:.2f} % of {record['seconds']:.1f} s   "
                f"deterministic {mode['ratio']:.3f} ({low:.3f}–{high:.3f})",
                flush=True,
            )
    results |= {
        "load_before": round(load, 2),
        "hardware": provenance.hardware(),
        "packages": provenance.package_versions(),
        "python": platform.python_version(),
    }
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "proof.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
