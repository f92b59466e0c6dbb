"""What studies share: rows of a YAML, one `ganvas train` each, figures in files, tables in a page.

A row whose result is there, made by the same command, is not trained again: interrupt and repeat
at will; delete `results/NAME.json` to train a row anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.runs import ModelView

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"
WEIGHTS = ROOT / "src" / "ganvas" / "weights" / "mnist.safetensors"
FAILED = 1
KEPT = (
    "seed", "config_hash", "dataset_fingerprint", "choices", "hardware", "packages", "metrics",
    "weights", "code", "determinism",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        folder: of the study.
        name: of the row and of its files.
        overrides: of `ganvas train`.
        note: shown under the table.
    """

    folder: Path
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
        return self.folder / "results" / f"{self.name}.json"

    @property
    def picture(self) -> Path:
        """Where its images are kept."""
        return self.folder / "pictures" / f"{self.name}.png"

    def read(self) -> dict[str, Any]:
        """Its figures."""
        return dict(json.loads(self.result.read_text(encoding="utf-8")))

    def finished(self) -> bool:
        """Whether the result is there and of this very command."""
        return self.result.is_file() and self.read()["command"] == self.command


Keep = Callable[[Path, Mapping[str, Any], Row], dict[str, Any]]
"""Run folder, `run.json` and row to what the result holds beside the common fields."""


def read_tables(
    file: Path, *, last: tuple[str, ...] = ()
) -> dict[str, list[tuple[Row, Mapping[str, Any]]]]:
    """Rows of each table of a study, each with its own node, and the overrides that all share.

    Args:
        file: with `steps`, `common` and `tables`, each of `overrides` and `rows`.
        last: more overrides, after those of the file.
    """
    study = yaml.safe_load(file.read_text(encoding="utf-8"))
    tables: dict[str, list[tuple[Row, Mapping[str, Any]]]] = {}
    for title, table in study["tables"].items():
        tables[title] = []
        for name, node in table["rows"].items():
            shared = [] if node.get("own_width") else table["overrides"]
            steps = f"trainer.max_steps={node.get('steps', study['steps'])}"
            overrides = (*node["overrides"], *shared, steps, *study["common"], *last)
            row = Row(file.parent, name, overrides, node.get("note", ""))
            tables[title].append((row, node))
    return tables


def train(row: Row, keep: Keep, describe: Callable[[Row], str], *, keep_failed: bool) -> bool:
    """Train in a process of its own, then keep figures and pictures; whether it went well."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "ganvas", "train", *row.overrides]
        command += ["trainer.progress_bar=false", f"paths.runs_dir={folder}"]
        with (Path(folder) / "output").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        code = os.waitstatus_to_exitcode(status)
        found = list(Path(folder).glob("*/*/run.json"))
        if code and not (code == FAILED and found and keep_failed):
            print(f"{row.name}: exit {code}\n{(Path(folder) / 'output').read_text()}", flush=True)
            return False
        run = found[0].parent
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        result = {
            "command": row.command,
            "seconds": round(wall, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "commit": (record["git"] or {}).get("sha"),
        }
        result |= keep(run, record, row) | told_of(run, record)
        row.result.parent.mkdir(exist_ok=True)
        row.result.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{row.name}: {wall:.0f} s, {describe(row)}", flush=True)
    return True


def told_of(run: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What `ganvas reproduce` needs of a run: parts of its record, and its whole config."""
    from ganvas.engine.portable import without_folders

    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return {key: record.get(key) for key in KEPT} | {"config": without_folders(config)}


def class_accuracy(view: ModelView, data: ImageData) -> float | None:
    """Share of 2,000 samples in which the shipped classifier finds the class asked for.

    None for a model that is not conditional.
    """
    import torch
    from safetensors.torch import load_file

    from ganvas.nn.classifier import ConvClassifier

    asked = view.class_labels(2000)
    if asked is None:
        return None
    classifier = ConvClassifier(image_shape=data.image_shape, num_classes=data.num_classes)
    classifier.load_state_dict(load_file(WEIGHTS))
    with torch.no_grad():
        found = classifier(view.sample(2000, seed=1, y=asked)).argmax(1)
    return (found == asked).double().mean().item()


def markdown(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table."""
    heads = list(heads)
    rows = [f"| {' | '.join(cells)} |" for cells in lines]
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]


class Notes:
    """Notes under a table, numbered as they come."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def mark(self, note: str) -> str:
        """What stands beside the name that a note is of; nothing where there is none."""
        if not note:
            return ""
        self.lines.append(f"[{len(self.lines) + 1}] {note}  ")
        return f" [{len(self.lines)}]"


def with_commands(lines: Iterable[str], notes: Notes, commands: Iterable[str]) -> str:
    """A table, its notes beneath, and its commands folded."""
    return "\n".join([*lines, "", *notes.lines, "", "<details><summary>Commands</summary>", "",
                      "```text", *commands, "```", "</details>"])  # fmt: skip


def filled(tables: Mapping[str, str]) -> str:
    """docs/methods.md with the tables between their markers."""
    text = PAGE.read_text(encoding="utf-8")
    for title, table in tables.items():
        begin, end = f"<!-- table: {title} -->", "<!-- end of table -->"
        before, found, after = text.partition(begin)
        if not found:
            sys.exit(f"{PAGE} lacks the marker {begin}")
        text = f"{before}{begin}\n{table}\n{end}{after.partition(end)[2]}"
    return text


def command_line(
    doc: str,
    *,
    rows: list[Row],
    keep: Keep,
    describe: Callable[[Row], str],
    tables: Callable[[], Mapping[str, str]],
    draw: Callable[[], None],
    keep_failed: bool = False,
) -> None:
    """Train what is missing, then write tables and pictures; `--write` and `--check`.

    Args:
        doc: of the study.
        rows: all of them.
        keep: see `Keep`.
        describe: a row's figures for a terminal.
        tables: their text by title.
        draw: the pictures of many rows.
        keep_failed: whether a training that diverged is a result, too.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time, one thread each")
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--write", action="store_true", help="tables and picture alone")
    parser.add_argument("--check", action="store_true", help="does the page show the results?")
    given = parser.parse_args()
    if given.check:
        sys.exit(0 if filled(tables()) == PAGE.read_text(encoding="utf-8") else 1)
    wanted = [row for row in rows if not given.only or row.name in given.only]
    went_well: list[bool] = []
    if not given.write:
        missing = [row for row in wanted if not row.finished()]

        def once(row: Row) -> bool:
            return train(row, keep, describe, keep_failed=keep_failed)

        with ThreadPoolExecutor(given.jobs) as pool:
            went_well = list(pool.map(once, missing))
    PAGE.write_text(filled(tables()), encoding="utf-8")
    draw()
    sys.exit(0 if all(went_well) else 1)
