"""Samples from N(0, I) and from priors fitted after training, of an autoencoder and a VAE.

    python experiments/priors/run.py [--write] [--check]

A cell whose result is there, made by the same command, is not trained again: interrupt and repeat
at will; delete `results/` to measure anew. `--write` writes table and picture alone; `--check`
fails if README.md and the results disagree, or a result is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

HERE = Path(__file__).parent
README = HERE / "README.md"
BEGIN, END = "<!-- table: priors -->", "<!-- end of table -->"
MODELS = {"ae": "autoencoder", "vae": "VAE"}
PRIORS = {"normal": "N(0, I)", "gaussian": "Gaussian", "gmm": "mixture of 10"}
SEEDS = (0, 1, 2)
SHOWN = 36
TRAIN = (
    "dataset=mnist", "dataset.val_size=0", "trainer=cpu", "trainer.num_threads=1",
    "trainer.max_epochs=null", "trainer.max_steps=1500", "test=false", "logger=none",
    "callbacks.images=null",
)  # fmt: skip
EVALUATE = ("metrics=[samples]", "num=2000", "accelerator=cpu")


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        model: option of the `model` group.
        seed: of the run.
    """

    model: str
    seed: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """Of `ganvas train`."""
        return (f"model={self.model}", *TRAIN, f"seed={self.seed}")

    @property
    def file(self) -> Path:
        """Where its figures are kept."""
        return HERE / "results" / f"{self.model}-seed{self.seed}.json"

    @property
    def pictures(self) -> Path:
        """Where its samples are kept, by prior."""
        return HERE / "results" / f"{self.model}-seed{self.seed}.npz"

    def result(self) -> dict[str, Any] | None:
        """Its figures, if they are there and of this very command."""
        if not self.file.is_file():
            return None
        found = json.loads(self.file.read_text(encoding="utf-8"))
        return found if found["commands"] == self.commands else None

    @property
    def commands(self) -> list[str]:
        """What a reader types."""
        evaluate = " ".join(f"'{o}'" if "[" in o else o for o in EVALUATE)
        return [
            f"ganvas train {' '.join(self.overrides)}",
            *(f"ganvas evaluate RUN prior={prior} {evaluate}" for prior in PRIORS),
        ]


CELLS = [Cell(model, seed) for seed in SEEDS for model in MODELS]


def measure(cell: Cell) -> None:
    """Train, measure under each prior, and keep figures and a few samples."""
    import numpy as np

    import ganvas
    from ganvas.pictures import to_uint8

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = ganvas.train(
            [*cell.overrides, "trainer.progress_bar=false", f"paths.runs_dir={folder}"]
        )
        found = {p: ganvas.evaluate(run, [f"prior={p}", *EVALUATE]) for p in PRIORS}
        drawn = {p: run.prior(p).codes(SHOWN, seed=0) for p in PRIORS}
        images = {p: to_uint8(run.model.sample(SHOWN, noise=z)) for p, z in drawn.items()}
        record = run.record
    values = {p: {r.name: r.value for r in results} for p, results in found.items()}
    kept = ("seed", "config_hash", "dataset_fingerprint", "choices", "hardware", "packages")
    result = {
        "commands": cell.commands,
        "values": values,
        "protocol": found["gmm"][0].protocol,
        "seconds": round(time.perf_counter() - began, 1),
        "commit": (record["git"] or {}).get("sha"),
        **{key: record[key] for key in kept},
    }
    cell.file.parent.mkdir(exist_ok=True)
    if cell.seed == SEEDS[0]:
        np.savez_compressed(cell.pictures, **images)
    cell.file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(cell, {p: round(v["fd_classifier"], 1) for p, v in values.items()}, flush=True)


def spread(values: list[float], digits: int) -> str:
    """Mean ± standard error, and each value."""
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    each = " ".join(f"{v:.{digits}f}" for v in values)
    return f"{fmean(values):.{digits}f} ± {error:.{digits}f} | {each}"


def table() -> str:
    """The table in Markdown, of the results that are there."""
    lines = [
        "| model | codes from | `fd_classifier` | each seed | `class_entropy` | each seed |",
        "|---|---|---|---|---|---|",
    ]
    for model, words in MODELS.items():
        there = [r for c in CELLS if c.model == model and (r := c.result())]
        for prior, shown in PRIORS.items() if there else ():
            values = [r["values"][prior] for r in there]
            distance = spread([v["fd_classifier"] for v in values], 1)
            entropy = spread([v["class_entropy"] for v in values], 2)
            lines.append(f"| {words} | {shown} (`prior={prior}`) | {distance} | {entropy} |")
    commands = [line for c in CELLS if c.seed == SEEDS[0] for line in c.commands]
    return "\n".join([*lines, "", "<details><summary>Commands, of seed 0</summary>", "", "```text",
                      *commands, "```", "</details>"])  # fmt: skip


def page() -> str:
    """README.md with the table between its markers."""
    before, _, after = README.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{after.partition(END)[2]}"


def draw() -> None:
    """Samples of seed 0 side by side: priors.png."""
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    from ganvas.pictures import grid

    cells = [c for c in CELLS if c.pictures.is_file()]
    if not cells:
        return
    figure, axes = plt.subplots(
        len(cells), len(PRIORS), figsize=(10, 3.7 * len(cells)), layout="constrained", squeeze=False
    )
    for row, cell in zip(axes, cells, strict=True):
        result = cell.result() or {"values": {}}
        with np.load(cell.pictures) as images:
            for axis, (prior, shown) in zip(row, PRIORS.items(), strict=True):
                axis.imshow(grid(torch.from_numpy(images[prior]) / 255, columns=6))
                value = result["values"].get(prior, {}).get("fd_classifier", float("nan"))
                axis.set_title(f"{MODELS[cell.model]}, {shown}: FD {value:.0f}", fontsize=10)
                axis.axis("off")
    figure.savefig(HERE / "priors.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="table and picture alone")
    parser.add_argument("--check", action="store_true", help="does the page show the results?")
    given = parser.parse_args()
    if given.check:
        missing = [c.file.name for c in CELLS if not c.result()]
        stale = [README.name] if page() != README.read_text(encoding="utf-8") else []
        sys.exit(f"missing or stale: {', '.join(missing + stale)}" if missing + stale else 0)
    for cell in CELLS if not given.write else ():
        if not cell.result():
            measure(cell)
    README.write_text(page(), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
