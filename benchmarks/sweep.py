"""What a cell of a sweep costs besides its training.

    python benchmarks/sweep.py [--rounds 5] [--cells 4] [--steps 50] [--output benchmarks/results]

The same tiny trainings (a VAE on the bundled digits), measured in turn, round by round, so that a
noisy machine hits all alike:

* bare: `train_checked` called again and again in one process that has done it before;
* cell: a sweep with one job at a time; from the end of one cell to the end of the next one, so
  that all is in it: choosing, writing `sweep.json`, forking, training, noticing the end;
* checked: what the sweep spent on each cell before it began (composing, checking, building);
* fresh: `ganvas train` in a new process.

The overhead of a cell is `cell + checked - bare`, of medians. It is measured without a logger, and
with W&B offline; there the bare process has started W&B's service once and for all, so that the
difference holds its start, too. The first cell of a sweep waits for the server's imports besides:
`server`. Nothing is asserted: this is a measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from throughput import hardware

from ganvas.engine.check import check_overrides
from ganvas.engine.train import train_checked
from ganvas.sweep.cells import add_cells, plan
from ganvas.sweep.driver import Driver
from ganvas.sweep.launch import machine_slots
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.settings import LauncherSettings
from ganvas.sweep.source import Listed

LOGGERS = {"no logger": ["logger=none"], "W&B offline": ["logger=wandb", "logger.mode=offline"]}


class Clock:
    """A sweep's reporter that writes down when cells end."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.ends: list[float] = []

    def started(self, cell: Cell, *, resumed: bool) -> None:
        """See `source.Reporter`."""

    def ended(self, cell: Cell) -> None:
        """See `source.Reporter`."""
        assert cell.state == "done", cell
        self.ends.append(time.perf_counter())

    def spans(self) -> list[float]:
        """Seconds from one end to the next, the first one from the beginning."""
        return [b - a for a, b in zip([self.began, *self.ends], self.ends, strict=False)]


def overrides(logger: str, *, folder: Path, steps: int, seed: int) -> list[str]:
    """The run that is measured."""
    return [
        "model=vae",
        "dataset=digits",
        "trainer=cpu",
        *LOGGERS[logger],
        f"trainer.max_steps={steps}",
        "trainer.progress_bar=false",
        "callbacks.images=null",
        f"paths.runs_dir={folder}",
        f"seed={seed}",
    ]


def bare(logger: str, *, folder: Path, steps: int, seed: int) -> float:
    """Seconds of one training in this process."""
    checked = check_overrides(overrides(logger, folder=folder, steps=steps, seed=seed))
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
        start = time.perf_counter()
        outcome = train_checked(checked)
    assert outcome.exit_code == 0, outcome
    return time.perf_counter() - start


def fresh(logger: str, *, folder: Path, steps: int, seed: int) -> float:
    """Seconds of one training in a process of its own."""
    typed = overrides(logger, folder=folder, steps=steps, seed=seed)
    start = time.perf_counter()
    command = [sys.executable, "-m", "ganvas", "train", *typed]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def sweep(logger: str, *, folder: Path, steps: int, seeds: list[int]) -> tuple[Clock, float]:
    """When the cells of a sweep ended, and the seconds of checking each."""
    start = time.perf_counter()
    jobs = [overrides(logger, folder=folder, steps=steps, seed=seed) for seed in seeds]
    planned = plan(jobs)
    checking = (time.perf_counter() - start) / len(jobs)
    place = folder / f"sweep-{time.monotonic_ns()}"
    place.mkdir(parents=True)
    settings = LauncherSettings(n_jobs=1)
    launcher = settings.model_dump()
    manifest = Manifest.create(place, command="", overrides=[], launcher=launcher)
    with manifest.held():
        cells, configs = add_cells(manifest, planned)
        clock, slots = Clock(), machine_slots(settings)
        options: dict[str, Any] = {"slots": slots, "source": Listed(cells), "reporter": clock}
        Driver(manifest, settings, configs=configs, **options).run()
    return clock, checking


def measure(logger: str, *, folder: Path, rounds: int, cells: int, steps: int) -> dict[str, Any]:
    """Seconds by way."""
    size: dict[str, Any] = {"folder": folder, "steps": steps}
    bare(logger, seed=0, **size)  # warm-up
    clock, _ = sweep(logger, seeds=[0, 1], **size)
    first = clock.spans()
    taken: dict[str, list[float]] = {"bare": [], "cell": [], "checked": [], "fresh": []}

    def by_sweep() -> None:
        clock, checking = sweep(logger, seeds=list(range(cells)), **size)
        taken["cell"] += clock.spans()
        taken["checked"].append(checking)

    def by_hand() -> None:
        taken["bare"] += [bare(logger, seed=seed, **size) for seed in range(cells)]

    def anew() -> None:
        taken["fresh"].append(fresh(logger, seed=0, **size))

    ways: list[Callable[[], None]] = [by_sweep, by_hand, anew]
    for turn in range(rounds):
        for way in ways if turn % 2 == 0 else ways[::-1]:
            way()
    result: dict[str, Any] = {
        name: {
            "median_s": round(statistics.median(values), 3),
            "range_s": [round(min(values), 3), round(max(values), 3)],
        }
        for name, values in taken.items()
    }
    middle = {name: statistics.median(values) for name, values in taken.items()}
    result["overhead_s"] = round(middle["cell"] + middle["checked"] - middle["bare"], 3)
    result["overhead_of_a_fresh_process_s"] = round(middle["fresh"] - middle["bare"], 3)
    result["server_s"] = round(first[0] - first[1], 3)
    return result


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--output", type=Path, default=None, help="folder for sweep.json")
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in ("rounds", "cells", "steps")}
    results: dict[str, Any] = dict(sizes)
    with tempfile.TemporaryDirectory() as folder:
        for logger in LOGGERS:
            results[logger] = figures = measure(logger, folder=Path(folder), **sizes)
            each = "  ".join(f"{w} {figures[w]['median_s']:.2f} s" for w in ("bare", "cell"))
            print(
                f"{logger:<12} {each}  checked {figures['checked']['median_s']:.2f} s  "
                f"overhead {figures['overhead_s']:.2f} s a cell; of a fresh process "
                f"{figures['overhead_of_a_fresh_process_s']:.2f} s"
            )
    results |= {"load_average": os.getloadavg()} | hardware()
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "sweep.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
