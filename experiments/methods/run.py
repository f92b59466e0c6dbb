"""The methods side by side: train every row of methods.yaml, write the tables, draw the picture.

    python experiments/methods/run.py [--jobs 2] [--only NAME ...]

A row whose result is there, made by the same command, is not trained again: interrupt and repeat
at will; delete `results/NAME.json` to train a row anew. MNIST is found as in any run
(GANVAS_DATA_DIR). The tables go between the markers in docs/methods.md; `--write` writes them and
the pictures without training, and `--check` fails if the page and the results disagree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "methods.md"
WEIGHTS = HERE.parents[1] / "src" / "ganvas" / "weights" / "mnist.safetensors"
SHOWN = 10
PLANE = 2
PARTS = {"distortion": "distortion", "rate": "rate", "elbo": "−ELBO", "mse": "MSE"}


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the row and of its files.
        overrides: of `ganvas train`.
        note: shown under the table.
    """

    name: str
    overrides: tuple[str, ...]
    note: str = ""

    @property
    def command(self) -> str:
        """What a reader types; quoted where a shell would look into it."""
        shown = [f"'{o}'" if set(o) & set("[]{} ") else o for o in self.overrides]
        return " ".join(["ganvas train", *shown])

    @property
    def result(self) -> Path:
        """Where its figures are kept."""
        return HERE / "results" / f"{self.name}.json"

    @property
    def picture(self) -> Path:
        """Where its strip of images is kept."""
        return HERE / "pictures" / f"{self.name}.png"

    @property
    def codes(self) -> Path:
        """Where codes of two dimensions are kept."""
        return HERE / "codes" / f"{self.name}.npz"


def read_tables() -> dict[str, list[Row]]:
    """The rows of each table of methods.yaml, with the overrides that all share."""
    study = yaml.safe_load((HERE / "methods.yaml").read_text(encoding="utf-8"))
    tables: dict[str, list[Row]] = {}
    for title, table in study["tables"].items():
        tables[title] = [
            Row(
                name,
                (*row["overrides"], *([] if row.get("own_width") else table["overrides"]),
                 f"trainer.max_steps={row.get('steps', study['steps'])}", *study["common"]),
                row.get("note", ""),
            )
            for name, row in table["rows"].items()
        ]  # fmt: skip
    return tables


def finished(row: Row) -> bool:
    """Whether the result is there and of this very command."""
    if not row.result.is_file():
        return False
    return bool(json.loads(row.result.read_text(encoding="utf-8"))["command"] == row.command)


def train(row: Row) -> bool:
    """Train in a process of its own, then keep figures and pictures; whether it went well."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "ganvas", "train", *row.overrides]
        command += ["trainer.progress_bar=false", f"paths.runs_dir={folder}"]
        with (Path(folder) / "output").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        if code := os.waitstatus_to_exitcode(status):
            print(f"{row.name}: exit {code}\n{(Path(folder) / 'output').read_text()}")
            return False
        run = next(Path(folder).glob("*/*/run.json")).parent
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        final = {k: v["final"] for k, v in record["metrics"].items() if k.startswith("test/")}
        kept = ("seed", "config_hash", "dataset_fingerprint", "choices", "hardware", "packages")
        result = {
            "command": row.command,
            "steps": next(iter(final.values()))["step"],
            "seconds": round(wall, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "commit": (record["git"] or {}).get("sha"),
            "test": {name: entry["value"] for name, entry in final.items()},
        }
        result |= save_pictures(run, row)
        result |= {key: record[key] for key in kept}
        row.result.parent.mkdir(exist_ok=True)
        row.result.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"{row.name}: {wall:.0f} s, {show(row, ('distortion', 'rate', 'elbo', 'mse'))}", flush=True
    )
    return True


def save_pictures(run_folder: Path, row: Row) -> dict[str, float]:
    """Test images, their reconstructions and samples, in one line; blank where there are none.

    Of a VAE with two code dimensions, also one sampled code of each of 2,000 test images. Returned
    is, of a conditional model, how many of 2,000 samples the shipped classifier finds to be of the
    class that was asked for.
    """
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    from ganvas import load_run
    from ganvas.nn.classifier import ConvClassifier
    from ganvas.pictures import to_uint8
    from ganvas.protocols import HasPosterior, Reconstructs, Samples

    run = load_run(run_folder)
    view, data = run.load_model("last"), run.data()
    batch = next(iter(data.loader("test", value_range=(0, 1), seed=0, batch_size=SHOWN)))
    y = None if view.class_labels(1) is None else batch.y
    blank = torch.full_like(batch.x, torch.nan)
    made, drawn = blank, blank
    with torch.no_grad():
        if isinstance(view.module, Reconstructs):
            made = view.reconstruct(batch.x, y)
        if isinstance(view.module, Samples):
            drawn = view.sample(SHOWN, seed=0)
    groups = [to_uint8(images.nan_to_num(1.0))[:, 0] for images in (batch.x, made, drawn)]
    gap = torch.full((28, 8), 255, dtype=torch.uint8)
    lines = [torch.cat([torch.as_tensor(i) for i in group], dim=1) for group in groups]
    strip = torch.cat([lines[0], gap, lines[1], gap, lines[2]], dim=1)
    row.picture.parent.mkdir(exist_ok=True)
    Image.fromarray(strip.numpy()).save(row.picture)
    if isinstance(view.module, HasPosterior) and view.module.latent_dim == PLANE:
        many = next(iter(data.loader("test", value_range=(0, 1), seed=0, batch_size=2000)))
        noise = torch.randn(len(many), PLANE, generator=torch.Generator().manual_seed(0))
        z = view.module.posterior(many.x).sample(noise)
        row.codes.parent.mkdir(exist_ok=True)
        np.savez_compressed(row.codes, z=z.numpy().astype(np.float32), y=many.y.numpy())
    asked = view.class_labels(2000)
    if asked is None:
        return {}
    classifier = ConvClassifier(image_shape=data.image_shape, num_classes=data.num_classes or 0)
    classifier.load_state_dict(load_file(WEIGHTS))
    with torch.no_grad():
        found = classifier(view.sample(2000, seed=1, y=asked)).argmax(1)
    return {"class_accuracy": (found == asked).double().mean().item()}


def value(row: Row, part: str) -> float | None:
    """A test figure of a row, as it is shown."""
    test = json.loads(row.result.read_text(encoding="utf-8"))["test"]
    if part == "mse":
        return test.get("test/reconstruction_mse")
    found = test.get(f"test/{part}")
    return -found if part == "elbo" and found is not None else found


def show(row: Row, parts: tuple[str, ...]) -> str:
    """Figures for a terminal."""
    found = {PARTS[part]: value(row, part) for part in parts}
    return ", ".join(f"{name} {v:.2f}" for name, v in found.items() if v is not None)


def table(rows: list[Row]) -> str:
    """A table in Markdown, its notes beneath."""
    rows = [row for row in rows if row.result.is_file()]
    parts = [p for p in PARTS if any(value(row, p) is not None for row in rows)]
    heads = ["method", *(PARTS[p] for p in parts), "batches", "seconds", "seed"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    notes: list[str] = []
    for row in rows:
        result = json.loads(row.result.read_text(encoding="utf-8"))
        mark = ""
        if row.note:
            notes.append(row.note.format(**result))
            mark = f" [{len(notes)}]"
        figures = [value(row, p) for p in parts]
        cells = ["—" if v is None else f"{v:.2f}" for v in figures]
        cells += [f"{result['steps']:,}", f"{result['seconds']:.0f}", str(result["seed"])]
        lines.append(f"| `{row.name}`{mark} | {' | '.join(cells)} |")
    lines += ["", *(f"[{i}] {note}  " for i, note in enumerate(notes, start=1))]
    return "\n".join([*lines, "", "<details><summary>Commands</summary>", "", "```text",
                      *(row.command for row in rows), "```", "</details>"])  # fmt: skip


def page(tables: dict[str, list[Row]]) -> str:
    """docs/methods.md with the tables between their markers."""
    text = PAGE.read_text(encoding="utf-8")
    for title, rows in tables.items():
        begin, end = f"<!-- table: {title} -->", "<!-- end of table -->"
        before, found, after = text.partition(begin)
        if not found:
            sys.exit(f"{PAGE} lacks the marker {begin}")
        text = f"{before}{begin}\n{table(rows)}\n{end}{after.partition(end)[2]}"
    return text


def draw(shown: list[Row]) -> None:
    """All strips under each other with their names: methods.png."""
    import matplotlib.pyplot as plt
    from PIL import Image

    figure, axes = plt.subplots(len(shown), 1, figsize=(10, 0.29 * len(shown) + 0.35), dpi=110,
                                squeeze=False)  # fmt: skip
    for i, (row, axis) in enumerate(zip(shown, axes[:, 0], strict=True)):
        with Image.open(row.picture) as strip:
            axis.imshow(strip, cmap="gray", interpolation="nearest", aspect="equal")
            width = strip.width
        axis.set_axis_off()
        axis.text(-8, 14, row.name, ha="right", va="center", fontsize=8)
        if i == 0:
            third = (width - 16) / 3
            for k, title in enumerate(("test images", "reconstructions", "samples")):
                axis.text(k * (third + 8) + third / 2, -10, title, ha="center", fontsize=9)
    top = 1 - 0.3 / figure.get_figheight()
    figure.subplots_adjust(left=0.2, right=0.995, top=top, bottom=0.005, hspace=0.06)
    figure.savefig(HERE / "methods.png")
    plt.close(figure)


def draw_codes(rows: list[Row]) -> None:
    """Codes in the plane, coloured by digit, one panel for each row: codes.png."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, len(rows), figsize=(4 * len(rows), 4.2), dpi=110)
    for row, axis in zip(rows, axes, strict=True):
        with np.load(row.codes) as kept:
            z, y = kept["z"], kept["y"]
        points = axis.scatter(z[:, 0], z[:, 1], c=y, s=4, cmap="tab10", vmin=-0.5, vmax=9.5)
        for radius in (1, 2):  # of the prior: one and two standard deviations
            axis.add_patch(plt.Circle((0, 0), radius, fill=False, color="black", lw=0.8))
        axis.set_title(row.name.replace("_", " ").replace("kl", "KL"))
        axis.set_aspect("equal", adjustable="datalim")
    figure.subplots_adjust(left=0.04, right=0.94, top=0.92, bottom=0.07, wspace=0.15)
    figure.colorbar(points, ax=axes, ticks=range(10), label="digit", fraction=0.015, pad=0.01)
    figure.savefig(HERE / "codes.png")
    plt.close(figure)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time, one thread each")
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--write", action="store_true", help="tables and picture alone")
    parser.add_argument("--check", action="store_true", help="does the page show the results?")
    given = parser.parse_args()
    tables = read_tables()
    if given.check:
        sys.exit(0 if page(tables) == PAGE.read_text(encoding="utf-8") else 1)
    rows = [r for table in tables.values() for r in table if not given.only or r.name in given.only]
    went_well: list[bool] = []
    if not given.write:
        with ThreadPoolExecutor(given.jobs) as pool:
            went_well = list(pool.map(train, [row for row in rows if not finished(row)]))
    PAGE.write_text(page(tables), encoding="utf-8")
    flat = [row for table in tables.values() for row in table]
    draw([row for row in flat if row.picture.is_file() and not row.codes.is_file()])
    if len(plane := [row for row in flat if row.codes.is_file()]) > 1:
        draw_codes(plane)
    sys.exit(0 if all(went_well) else 1)


if __name__ == "__main__":
    main()
