"""Does the classifier distance grow with what is wrong with images? Noise, and missing classes.

    python experiments/evaluation/run.py

Two disjoint sets of real images are drawn under each of five seeds. One is the reference. The
other one gets Gaussian noise, or lacks classes, at the same number of images. Every value of every
seed is in `results/NAME.json`; the table in README.md and growth.png are drawn from these.
`--write` draws them without measuring; `--check` fails if page and results disagree.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ganvas.data import ImageData
    from ganvas.nn.extractor import Extractor

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
BEGIN, END = "<!-- table: growth -->", "<!-- end of table -->"
SEEDS = (0, 1, 2, 3, 4)
NOISE = (0.0, 0.05, 0.1, 0.2, 0.4)
DROPPED = (0, 1, 2, 3, 4, 5)
SIZES = {"digits": 300, "mnist": 5000}


def draw_sets(labels: Tensor, *, num: int, dropped: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of `num` reference images, and of `num` others without the last `dropped` classes.

    Args:
        labels: of all images, `(N,)`.
        num: images of each set.
        dropped: classes that the second set lacks.
        seed: of the draw; the reference is the same for all `dropped`.

    Raises:
        ValueError: if there are not enough images.
    """
    import torch

    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    reference, rest = order[:num], order[num:]
    kept = rest[labels[rest] <= labels.max() - dropped][:num]
    if len(kept) < num:
        raise ValueError(f"num must be at most {len(kept)}, got {num}")
    return reference, kept


def distance(images: Tensor, labels: Tensor, extractor: Extractor, **setting: Any) -> float:
    """`fd_classifier` of one setting and seed.

    Args:
        images: all, uint8 `(N, C, H, W)`.
        labels: `(N,)`.
        extractor: of features.
        setting: `num`, `seed`, `dropped` and `noise`, the standard deviation in units of the range.
    """
    import torch

    from ganvas.metrics.frechet import FrechetDistance

    noise = setting.pop("noise")
    reference, others = draw_sets(labels, **setting)
    changed = images[others].float() / 255
    drawn = torch.Generator().manual_seed(1000 + setting["seed"])
    changed = changed + noise * torch.randn(changed.shape, generator=drawn)
    fake = (changed * 255).round().clamp(0, 255).byte()
    metric = FrechetDistance(features=extractor)
    for real, kind in ((True, images[reference]), (False, fake)):
        for part in kind.split(250):
            metric.update(part, real=real)
    return float(metric.compute())


def measure(data: ImageData, extractor: Extractor, *, num: int) -> dict[str, Any]:
    """Distances by kind, setting and seed."""
    import torch

    loader = data.loader("train", value_range=(0, 1), seed=0, batch_size=1000, in_order=True)
    batches = list(loader)
    images = torch.cat([(batch.x * 255).round().byte() for batch in batches])
    labels = torch.cat([batch.y for batch in batches])

    def over_seeds(**setting: Any) -> list[float]:
        return [distance(images, labels, extractor, num=num, seed=s, **setting) for s in SEEDS]

    with torch.no_grad():
        return {
            "num": num,
            "extractor": extractor.identity(),
            "noise": {str(level): over_seeds(noise=level, dropped=0) for level in NOISE},
            "dropped": {str(num): over_seeds(noise=0.0, dropped=num) for num in DROPPED},
        }


def of_dataset(name: str) -> tuple[ImageData, Extractor]:
    """A data set of `ganvas list datasets`, and the classifier that its metrics use."""
    from ganvas.engine.build import build_data
    from ganvas.engine.check import check_overrides
    from ganvas.engine.measures import build_evaluations

    checked = check_overrides([f"dataset={name}", "metrics=samples", "dataset.val_size=0"])
    data = build_data(checked)
    data.prepare()
    taken = build_evaluations(checked, data)
    assert taken is not None
    assert taken.extractor is not None
    return data, taken.extractor


def read() -> dict[str, Any]:
    """Results by data set."""
    return {n: json.loads((HERE / "results" / f"{n}.json").read_text()) for n in SIZES}


def table(results: dict[str, Any]) -> str:
    """Mean ± s.e. over seeds, and each seed."""
    lines = ["| images | what is wrong | `fd_classifier` | each seed |", "|---|---|---|---|"]
    words = {"noise": "noise of σ = {}", "dropped": "{} of 10 classes missing"}
    for name, found in results.items():
        for kind, text in words.items():
            for level, values in found[kind].items():
                spread = stdev(values) / len(values) ** 0.5
                each = " ".join(f"{value:.1f}" for value in values)
                mean = f"{fmean(values):.1f} ± {spread:.1f}"
                images = f"{name}, {found['num']:,}"
                lines.append(f"| {images} | {text.format(level)} | {mean} | {each} |")
    return "\n".join(lines)


def draw(results: dict[str, Any]) -> None:
    """One panel for each kind and data set: every seed as a dot, the mean as a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
    labels = {"noise": "σ of added noise (pixel range 1)", "dropped": "classes missing"}
    for row, (name, found) in zip(axes, results.items(), strict=True):
        for panel, (kind, label) in zip(row, labels.items(), strict=True):
            levels = [float(level) for level in found[kind]]
            for level, values in zip(levels, found[kind].values(), strict=True):
                panel.plot([level] * len(values), values, "o", color="tab:blue", alpha=0.4)
            panel.plot(levels, [fmean(v) for v in found[kind].values()], color="tab:blue")
            title = f"{name}, {found['num']:,} images"
            panel.set(xlabel=label, ylabel="fd_classifier", title=title)
            panel.set_ylim(bottom=0)
    figure.savefig(HERE / "growth.png", dpi=110)


def filled(results: dict[str, Any]) -> str:
    """README.md with the table between its markers."""
    before, found, after = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    if not found:
        sys.exit(f"{PAGE} lacks the marker {BEGIN}")
    return f"{before}{BEGIN}\n{table(results)}\n{END}{after.partition(END)[2]}"


def main() -> None:
    """Measure, draw, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="draw from the results alone")
    parser.add_argument("--check", action="store_true", help="compare the page with the results")
    options = parser.parse_args()
    if options.check:
        sys.exit(int(filled(read()) != PAGE.read_text(encoding="utf-8")))
    if not options.write:
        (HERE / "results").mkdir(exist_ok=True)
        for name, num in SIZES.items():
            found = measure(*of_dataset(name), num=num)
            file = HERE / "results" / f"{name}.json"
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {file}", flush=True)
    results = read()
    PAGE.write_text(filled(results), encoding="utf-8")
    draw(results)


if __name__ == "__main__":
    main()
