"""GANs side by side on MNIST: train every row of gans.yaml, write the tables, draw the pictures.

    python experiments/gans/run.py [--jobs 2] [--only NAME-seed0 ...]

A row whose result is there, made by the same command, is not trained again: interrupt and repeat
at will; delete `results/NAME.json` to train a row anew. MNIST is found as in any run
(GANVAS_DATA_DIR). The tables go between the markers in docs/methods.md; `--write` writes them and
the pictures without training, and `--check` fails if the page and the results disagree.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
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

REFERENCE = HERE / "results" / "reference.json"
SHOWN = 64
COLUMNS = 8
PANELS = 6
HEADS = ("", "FD, final", "FD, best", "at batch", "classes", "diversity", "collapse", "batches",
         "seconds", "seeds")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        title: shown.
        rows: its trainings, one for each seed.
    """

    title: str
    rows: tuple[Row, ...]

    @property
    def done(self) -> list[dict[str, Any]]:
        """Results that are there."""
        return [row.read() for row in self.rows if row.result.is_file()]


def read_lines() -> dict[str, list[Line]]:
    """The lines of each table of gans.yaml."""
    return {
        title: [_line(row, node) for row, node in rows]
        for title, rows in read_tables(HERE / "gans.yaml").items()
    }


def _line(row: Row, node: Mapping[str, Any]) -> Line:
    rows = tuple(
        replace(row, name=f"{row.name}-seed{seed}", overrides=(*row.overrides, f"seed={seed}"))
        for seed in range(node.get("seeds", 1))
    )
    return Line(node.get("title", row.name), rows)


def keep(run: Path, record: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """Final and best test figures, collapses, and a grid of samples."""
    kept: dict[str, Any] = {
        "reason": record["reason"],
        "collapses": record.get("collapses") or [],
        "protocol": record.get("protocol"),
        "test": {k: v for k, v in record["metrics"].items() if k.startswith("test/")},
        "val": {k: v for k, v in record["metrics"].items() if k.startswith("val/")},
    }
    if record["status"] != "finished":
        return kept
    return kept | save_picture(run, row)


def save_picture(run_folder: Path, row: Row) -> dict[str, float]:
    """A grid of samples of the last weights; a conditional model's accuracy on its classes."""
    import torch
    from PIL import Image

    from ganvas import load_run
    from ganvas.pictures import columns_of_classes, to_uint8

    run = load_run(run_folder)
    view, data = run.load_model("last"), run.data()
    num, columns = SHOWN, COLUMNS
    if view.class_labels(1) is not None:
        columns = columns_of_classes(SHOWN, num_classes=data.num_classes or 1)
        num = COLUMNS * columns
    with torch.no_grad():
        images = to_uint8(view.sample(num, seed=0))[:, 0]
    side = images.shape[1]
    grid = images.reshape(-1, columns, side, side).transpose(0, 2, 1, 3)
    row.picture.parent.mkdir(exist_ok=True)
    Image.fromarray(grid.reshape(-1, columns * side)).save(row.picture, optimize=True)
    accuracy = class_accuracy(view, data)
    return {} if accuracy is None else {"class_accuracy": accuracy}


def describe(row: Row) -> str:
    """Figures for a terminal."""
    result = row.read()
    found = result["test"].get("test/fd_classifier")
    if found is None:
        return str(result["reason"])
    final, best = found["final"], found["best"]
    return f"FD {final['value']:.1f}, best {best['value']:.1f} at {best['step']:,}"


def measure_reference() -> None:
    """The distance of real validation images from real test images, in the very protocol."""
    from ganvas.engine.build import build_data, build_model
    from ganvas.engine.check import check_overrides
    from ganvas.engine.measures import build_evaluations
    from ganvas.evaluation.subject import Subject
    from ganvas.metrics.frechet import moments_distance

    row = next(iter(read_lines().values()))[0].rows[0]
    checked = check_overrides(row.overrides)
    data = build_data(checked)
    data.prepare()
    taken = build_evaluations(checked, data)
    assert taken is not None
    subject = Subject(
        build_model(checked, data),
        data,
        split="test",
        options=taken.options,
        extractor=taken.extractor,
    )
    moments = [subject.reference(split).moments for split in ("test", "val")]
    found = {"fd_classifier": moments_distance(*moments).item(), "num": subject.num}
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and its standard error where there are several."""
    if not values:
        return "—"
    text = f"{mean(values):,.{digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ± {stdev(values) / math.sqrt(len(values)):,.{digits}f}"


def span(values: Sequence[int]) -> str:
    """One number, or the lowest and the highest."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def collapses(results: Sequence[Mapping[str, Any]]) -> str:
    """Events by rule with their steps, and of how many seeds."""
    hit = [r for r in results if r["collapses"] or r["reason"]]
    if not hit:
        return "—"
    steps: dict[str, list[int]] = {}
    for result in hit:
        for event in result["collapses"]:
            steps.setdefault(event["rule"], []).append(event["step"])
    found = [f"{rule.replace('_', ' ')} at {span(at)}" for rule, at in steps.items()]
    found += [r["reason"].split(";")[0] for r in hit if r["reason"]]
    seeds = f" ({len(hit)} of {len(results)} seeds)" if len(results) > 1 else ""
    return ", ".join(found) + seeds


def cells(line: Line, notes: Notes) -> list[str]:
    """One line of the table."""
    done = line.done
    tested = [r for r in done if "test/fd_classifier" in r["test"]]

    def entries(name: str, which: str) -> list[Mapping[str, Any]]:
        found = [r["test"].get(f"test/{name}", {}) for r in tested]
        return [entry[which] for entry in found if which in entry]

    best = entries("fd_classifier", "best")
    note = line.rows[0].note
    if note and all("class_accuracy" in r for r in done):
        note = note.format(class_accuracy=mean(r["class_accuracy"] for r in done))
    return [
        f"{line.title}{notes.mark(note)}",
        spread([e["value"] for e in entries("fd_classifier", "final")], 1),
        spread([e["value"] for e in best], 1),
        span([e["step"] for e in best]) if best else "—",
        spread([e["value"] for e in entries("classes_hit", "final")], 0 if len(tested) < 2 else 1),
        spread([e["value"] for e in entries("diversity", "final")], 2),
        collapses(done),
        span([e["step"] for e in entries("fd_classifier", "final")]) if tested else "—",
        f"{mean(r['seconds'] for r in done):.0f}",
        f"{len(done)}",
    ]


def command(line: Line) -> str:
    """What a reader types; all seeds of a line in one sweep."""
    if len(line.rows) == 1:
        return line.rows[0].command
    seeds = ",".join(str(i) for i in range(len(line.rows)))
    before, _, _ = line.rows[0].command.rpartition(" ")
    return f"{before.replace('ganvas train', 'ganvas train -m', 1)} seed={seeds}"


def table(lines: list[Line], *, reference: bool) -> str:
    """A table in Markdown, its notes beneath."""
    lines = [line for line in lines if line.done]
    notes = Notes()
    rows = [cells(line, notes) for line in lines]
    if reference and REFERENCE.is_file():
        floor = json.loads(REFERENCE.read_text(encoding="utf-8"))["fd_classifier"]
        blank = ["—"] * (len(HEADS) - 2)
        rows.insert(0, ["*real images of validation*", f"{floor:.1f}", *blank])
    return with_commands(markdown(HEADS, rows), notes, [command(line) for line in lines])


def draw(tables: Mapping[str, list[Line]]) -> None:
    """Samples of each line's first seed, with its distance: gans.png."""
    import matplotlib.pyplot as plt
    from PIL import Image

    shown = [line for lines in tables.values() for line in lines if line.rows[0].picture.is_file()]
    if not shown:
        return
    height = -(-len(shown) // PANELS)
    figure, axes = plt.subplots(
        height, PANELS, figsize=(2.2 * PANELS, 2.42 * height), dpi=110, squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for line, axis in zip(shown, axes.flat, strict=False):
        with Image.open(line.rows[0].picture) as grid:
            axis.imshow(grid.crop((0, 0, grid.height, grid.height)), cmap="gray")
        found = line.rows[0].read()["test"]["test/fd_classifier"]["final"]["value"]
        axis.set_title(f"{line.title.replace('`', '')}\nFD {found:.0f}", fontsize=7)
    figure.subplots_adjust(left=0.005, right=0.995, top=1 - 0.36 / (2.42 * height), bottom=0.005,
                           wspace=0.03, hspace=0.2)  # fmt: skip
    figure.savefig(HERE / "gans.png")
    plt.close(figure)


def main() -> None:
    """See the module."""
    tables = read_lines()
    if not REFERENCE.is_file() and not {"--write", "--check"} & set(sys.argv):
        measure_reference()

    def texts() -> dict[str, str]:
        first = next(iter(tables))
        return {t: table(lines, reference=t == first) for t, lines in tables.items()}

    command_line(
        __doc__,
        rows=[row for lines in tables.values() for line in lines for row in line.rows],
        keep=keep,
        describe=describe,
        tables=texts,
        draw=lambda: draw(tables),
        keep_failed=True,
    )


if __name__ == "__main__":
    main()
