"""A mixture of 25 Gaussians: modes covered and good samples of each loss, over five seeds.

    python experiments/mixture2d/run.py [--jobs 2] [--only NAME ...]

A row and seed whose result is there, made by the same command, is not trained again: interrupt and
repeat at will; delete `results/NAME-seedK.json` to train it anew. The table goes between the
markers in docs/gans.md and in README.md here, the figure is mixture2d.png. `--write` writes them
without training; `--check` fails if a page and the results disagree, or a result is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

HERE = Path(__file__).parent
PAGES = (HERE.parents[1] / "docs" / "gans.md", HERE / "README.md")
BEGIN, END = "<!-- table: mixture2d -->", "<!-- end of table -->"
NUM_SAMPLES = 2500
FIGURES = {"modes_covered": "modes", "good_share": "good", "kl_from_uniform": "KL"}


@dataclass(frozen=True)
class Cell:
    """One run: a row of the study under one seed.

    Attributes:
        row: its name.
        seed: of weights, order and noise.
        overrides: of `ganvas train`.
    """

    row: str
    seed: int
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        """What a reader types; quoted where a shell would look into it."""
        shown = [f"'{o}'" if set(o) & set("[]{} ") else o for o in self.overrides]
        return " ".join(["ganvas train", *shown])

    @property
    def file(self) -> Path:
        """Where its figures are kept."""
        return HERE / "results" / f"{self.row}-seed{self.seed}.json"

    @property
    def samples(self) -> Path:
        """Where its samples are kept."""
        return HERE / "samples" / f"{self.row}-seed{self.seed}.npy"

    def result(self) -> dict[str, Any] | None:
        """Its figures, if they are there and of this very command."""
        if not self.file.is_file():
            return None
        found = json.loads(self.file.read_text(encoding="utf-8"))
        return found if found["command"] == self.command else None


def read_cells() -> dict[str, list[Cell]]:
    """The cells of each row, by its name."""
    study = yaml.safe_load((HERE / "losses.yaml").read_text(encoding="utf-8"))
    return {
        name: [
            Cell(name, k, ("experiment=mixture2d", *row, f"seed={k}", *study["common"]))
            for k in study["seeds"]
        ]
        for name, row in study["rows"].items()
    }


def train(cell: Cell) -> str | None:
    """Train, measure and keep a cell; the error of a run that failed, which is kept too."""
    import numpy as np

    import ganvas

    with tempfile.TemporaryDirectory() as folder:
        began, cpu_began = time.perf_counter(), time.process_time()
        try:
            run = ganvas.train(
                [*cell.overrides, "trainer.progress_bar=false", f"paths.runs_dir={folder}"]
            )
            points, figures = measured(run)
            record = run.record
        except ganvas.GanvasError as error:  # one that diverged is a result too
            points, figures = None, dict.fromkeys(FIGURES) | {"reason": str(error)}
            record = json.loads(next(Path(folder).glob("*/*/run.json")).read_text())
    kept = ("seed", "config_hash", "dataset_fingerprint", "choices", "hardware", "packages")
    result = {
        "command": cell.command,
        **figures,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu_began, 1),
        "commit": (record["git"] or {}).get("sha"),
        **{key: record[key] for key in kept},
    }
    for path in (cell.file, cell.samples):
        path.parent.mkdir(exist_ok=True)
    if points is not None and cell.seed == 0:
        np.save(cell.samples, points.numpy().astype(np.float16))
    cell.file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(cell.row, cell.seed, {k: figures[k] for k in FIGURES}, result["cpu_seconds"], flush=True)
    return figures.get("reason")


def measured(run: Any) -> tuple[Any, dict[str, Any]]:
    """Samples in coordinates of the plane, and what is found of them."""
    import torch

    from ganvas.metrics.modes import mode_coverage

    data, view = run.data(), run.load_model("last")
    points = data.source.to_points(view.sample(NUM_SAMPLES, seed=1))
    found = mode_coverage(
        points, centers=torch.from_numpy(data.source.centers), sigma=data.source.sigma
    )
    return points, {name: getattr(found, name) for name in FIGURES} | {"steps": view.module.step}


def spread(values: list[float], digits: int, *, times: float = 1) -> str:
    """Mean ± standard error; of a single value no error, of none nothing."""
    if not values:
        return "—"
    mean = f"{times * fmean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {times * stdev(values) / len(values) ** 0.5:.{digits}f}"


def table(cells: dict[str, list[Cell]]) -> str:
    """The table in Markdown; every row, and every seed whose result is there."""
    from ganvas.metrics.modes import expected_good_share

    lines = [
        "| row | modes of 25 | each seed | good samples, % | each seed | KL, nats | batches "
        "| CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in cells.items():
        found = [result for cell in row if (result := cell.result())]
        went = [result for result in found if result["modes_covered"] is not None]
        if not found:
            continue
        modes = [r["modes_covered"] for r in went]
        good = [r["good_share"] for r in went]
        kl = [r["kl_from_uniform"] for r in went]
        each = [
            " ".join("✗" if r[key] is None else f"{times * r[key]:.0f}" for r in found)
            for key, times in (("modes_covered", 1), ("good_share", 100))
        ]
        cost = fmean(r["cpu_seconds"] for r in found)
        steps = f"{went[0]['steps']:,}" if went else "—"
        lines.append(
            f"| `{name}` | {spread(modes, 1)} | {each[0]} | {spread(good, 1, times=100)} | "
            f"{each[1]} | {spread(kl, 2)} | {steps} | {cost:.0f} |"
        )
    lines.append(f"| real points | 25 | | {100 * expected_good_share():.1f} | | 0 | | |")
    commands = [row[0].command for row in cells.values()]
    return "\n".join([*lines, "", "<details><summary>Commands</summary>", "", "```text",
                      *commands, "```", "</details>"])  # fmt: skip


def page(path: Path, cells: dict[str, list[Cell]]) -> str:
    """A page with the table between its markers."""
    text = path.read_text(encoding="utf-8")
    before, found, after = text.partition(BEGIN)
    if not found:
        sys.exit(f"{path} lacks the marker {BEGIN}")
    return f"{before}{BEGIN}\n{table(cells)}\n{END}{after.partition(END)[2]}"


def draw(cells: dict[str, list[Cell]]) -> None:
    """Every seed as a dot with mean ± standard error, and the samples of seed 0: mixture2d.png."""
    import matplotlib.pyplot as plt
    import numpy as np

    rows = {name: row for name, row in cells.items() if any(c.result() for c in row)}
    figure = plt.figure(figsize=(11, 6.6), dpi=110, layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    axes = upper.subplots(1, 2, sharey=True)
    for axis, key, times, title, best in zip(
        axes, FIGURES, (1, 100), ("modes covered (of 25)", "good samples, %"), (25, 98.9),
        strict=False,
    ):  # fmt: skip
        for i, row in enumerate(rows.values()):
            found = [r[key] for c in row if (r := c.result()) and r[key] is not None]
            values = times * np.array(found, dtype=float)
            axis.plot(values, np.full(len(values), i), "o", color="tab:blue", alpha=0.45, ms=6)
            if len(values) > 1:
                error = values.std(ddof=1) / len(values) ** 0.5
                axis.errorbar(values.mean(), i, xerr=error, fmt="k|", capsize=4, ms=12)
        axis.axvline(best, color="grey", ls="--", lw=1)
        axis.set_xlim(0, 1.05 * best)
        axis.set_xlabel(f"{title}; five seeds, mean ± s.e.; dashed: real points")
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), list(rows))
    axes[0].invert_yaxis()
    for axis, (name, row) in zip(
        np.atleast_1d(lower.subplots(1, len(rows))), rows.items(), strict=True
    ):
        if row[0].samples.is_file():
            x, y = np.load(row[0].samples).astype(float).T
            axis.scatter(x, y, s=1.5, lw=0, color="tab:blue")
        axis.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xticks=[], yticks=[])
        axis.set_title(name, fontsize=9)
    lower.supxlabel(f"{NUM_SAMPLES:,} samples of seed 0", fontsize=9)
    figure.savefig(HERE / "mixture2d.png")
    plt.close(figure)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--write", action="store_true", help="pages and figure alone")
    parser.add_argument("--check", action="store_true", help="do the pages show the results?")
    given = parser.parse_args()
    cells = read_cells()
    if given.check:
        missing = [cell.file.name for row in cells.values() for cell in row if not cell.result()]
        stale = [path.name for path in PAGES if page(path, cells) != path.read_text("utf-8")]
        sys.exit(f"missing or stale: {', '.join(missing + stale)}" if missing + stale else 0)
    failed: list[str] = []
    if not given.write:
        rows = [row for name, row in cells.items() if not given.only or name in given.only]
        # seed by seed, so that an interrupted study has all rows
        todo = [c for seed in zip(*rows, strict=True) for c in seed if not c.result()]
        with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
            failed = [error for error in pool.map(train, todo) if error]
    for path in PAGES:
        path.write_text(page(path, cells), encoding="utf-8")
    draw(cells)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
