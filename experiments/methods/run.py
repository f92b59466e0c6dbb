"""The methods side by side: train every row of methods.yaml, write the tables, draw the picture.

    python experiments/methods/run.py [--jobs 2] [--only NAME ...]

A row whose result is there, made by the same command, is not trained again: interrupt and repeat
at will; delete `results/NAME.json` to train a row anew. MNIST is found as in any run
(GANVAS_DATA_DIR). The tables go between the markers in docs/methods.md; `--write` writes them and
the pictures without training, and `--check` fails if the page and the results disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from study import (  # noqa: E402
    Notes,
    Row,
    class_accuracy,
    command_line,
    markdown,
    read_tables,
    with_commands,
)

SHOWN = 10
PLANE = 2
PARTS = {"distortion": "distortion", "rate": "rate", "elbo": "−ELBO", "mse": "MSE"}


def codes_file(row: Row) -> Path:
    """Where codes of two dimensions are kept."""
    return HERE / "codes" / f"{row.name}.npz"


def keep(run: Path, record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """Test figures of the last batch; and pictures."""
    final = {k: v["final"] for k, v in record["metrics"].items() if k.startswith("test/")}
    return {
        "steps": next(iter(final.values()))["step"],
        "test": {name: entry["value"] for name, entry in final.items()},
        **save_pictures(run, row),
    }


def save_pictures(run_folder: Path, row: Row) -> dict[str, float]:
    """Test images, their reconstructions and samples, in one line; blank where there are none.

    Of a VAE with two code dimensions, also one sampled code of each of 2,000 test images. Returned
    is, of a conditional model, how many of 2,000 samples the shipped classifier finds to be of the
    class that was asked for.
    """
    import numpy as np
    import torch
    from PIL import Image

    from ganvas import load_run
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
        codes_file(row).parent.mkdir(exist_ok=True)
        np.savez_compressed(codes_file(row), z=z.numpy().astype(np.float32), y=many.y.numpy())
    accuracy = class_accuracy(view, data)
    return {} if accuracy is None else {"class_accuracy": accuracy}


def value(row: Row, part: str) -> float | None:
    """A test figure of a row, as it is shown."""
    test = row.read()["test"]
    if part == "mse":
        return test.get("test/reconstruction_mse")
    found = test.get(f"test/{part}")
    return -found if part == "elbo" and found is not None else found


def show(row: Row) -> str:
    """Figures for a terminal."""
    found = {title: value(row, part) for part, title in PARTS.items()}
    return ", ".join(f"{name} {v:.2f}" for name, v in found.items() if v is not None)


def table(rows: list[Row]) -> str:
    """A table in Markdown, its notes beneath."""
    rows = [row for row in rows if row.result.is_file()]
    parts = [p for p in PARTS if any(value(row, p) is not None for row in rows)]
    notes, lines = Notes(), []
    for row in rows:
        result = row.read()
        mark = notes.mark(row.note.format(**result))
        figures = [value(row, p) for p in parts]
        cells = ["—" if v is None else f"{v:.2f}" for v in figures]
        cells += [f"{result['steps']:,}", f"{result['seconds']:.0f}", str(result["seed"])]
        lines.append([f"`{row.name}`{mark}", *cells])
    heads = ["method", *(PARTS[p] for p in parts), "batches", "seconds", "seed"]
    return with_commands(markdown(heads, lines), notes, [row.command for row in rows])


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
        with np.load(codes_file(row)) as kept:
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
    tables = {t: [row for row, _ in rows] for t, rows in read_tables(HERE / "methods.yaml").items()}
    flat = [row for rows in tables.values() for row in rows]

    def pictures() -> None:
        plane = [row for row in flat if codes_file(row).is_file()]
        draw([row for row in flat if row.picture.is_file() and row not in plane])
        if len(plane) > 1:
            draw_codes(plane)

    command_line(
        __doc__,
        rows=flat,
        keep=keep,
        describe=show,
        tables=lambda: {title: table(rows) for title, rows in tables.items()},
        draw=pictures,
    )


if __name__ == "__main__":
    main()
