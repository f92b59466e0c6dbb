"""One picture for each tool of `ganvas latent`, of runs on real digits.

    python experiments/latent/run.py [--runs FOLDER] [--only NAME …] [--check]

Runs are kept in `runs/latent/` of the working folder (or `--runs`) and not trained again: interrupt
and repeat at will. Pictures and the texts beside them are written next to this file; the page that
shows them is docs/latent.md. `--check` draws nothing, and fails if a tool has no picture, or the
page another command than the picture was made by.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "latent.md"
DRAWN = HERE / "drawn.png"
ODD = 7
STUDY = yaml.safe_load((HERE / "latent.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Shown:
    """One picture.

    Attributes:
        name: of its file.
        run: that it is of.
        overrides: of `ganvas latent`.
    """

    name: str
    run: str
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        """What a reader types, with RUN for the run's folder."""
        return shlex.join(["ganvas", "latent", "RUN", *self.overrides])

    @property
    def text(self) -> Path:
        """The text beside it."""
        return HERE / "pictures" / f"{self.name}.yaml"

    def fault(self) -> str | None:
        """What is wrong with picture, text or page; None if nothing is."""
        if not self.text.is_file() or not self.text.with_suffix(".png").is_file():
            return f"{self.name}: not drawn"
        if yaml.safe_load(self.text.read_text(encoding="utf-8"))["command"] != self.command:
            return f"{self.name}: drawn by another command"
        page = PAGE.read_text(encoding="utf-8")
        if self.command not in page or f"pictures/{self.name}.png" not in page:
            return f"{self.name}: {PAGE.name} lacks the picture or `{self.command}`"
        return None


SHOWN = [
    Shown(name, node["run"], (f"tool={node.get('tool', name)}", *node["overrides"]))
    for name, node in STUDY["pictures"].items()
]


def write_drawn() -> None:
    """A four in ink on paper, of a size and mode that no data set here has: drawn.png."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (300, 240), (250, 246, 232))
    pen = ImageDraw.Draw(image)
    for stroke in ([(130, 45), (95, 130), (190, 135)], [(175, 60), (165, 200)]):
        pen.line(stroke, fill=(28, 36, 96), width=17, joint="curve")
    image.save(DRAWN)


def train_command(run: str, runs: str | Path = "FOLDER") -> list[str]:
    """What a reader types."""
    overrides = [*STUDY["runs"][run], *STUDY["common"], f"name={run}", f"paths.runs_dir={runs}"]
    return ["train", *(o.replace("FOLDER", str(runs)) for o in overrides)]


def write_arrays(runs: Path) -> None:
    """MNIST as files of arrays, the training images without sevens."""
    import numpy as np

    train, test = runs / "without7.npz", runs / "test.npz"
    if train.is_file() and test.is_file():
        return
    source = trained("vae", runs).data().source
    for file, split in ((test, "test"), (train, "train")):
        images, labels = source.read(split)
        kept = np.ones(len(labels), dtype=bool) if split == "test" else labels != ODD
        np.savez_compressed(file, images=images[kept], labels=labels[kept])


def trained(run: str, runs: Path) -> Any:
    """The run, trained first unless it is there, finished and of this very command."""
    import ganvas

    command = train_command(run, runs)[1:]
    if any("without7" in override for override in command):
        write_arrays(runs)
    for record in sorted((runs / run).glob("*/run.json")):
        found = json.loads(record.read_text(encoding="utf-8"))
        typed = yaml.safe_load((record.parent / "overrides.yaml").read_text(encoding="utf-8"))
        if found["status"] == "finished" and set(command) <= set(typed):
            return ganvas.load_run(record.parent)
    print("training", run, flush=True)
    return ganvas.train([*command, "trainer.progress_bar=false"])


def draw(shown: Shown, runs: Path) -> None:
    """The picture, its animation, and the text without this machine's folders."""
    from ganvas.engine.command import command_settings
    from ganvas.engine.latent import draw as draw_with
    from ganvas.engine.settings import LatentSettings

    run = trained(shown.run, runs)
    out = shown.text.with_suffix(".png")
    typed = [*shown.overrides, f"out={out}"]
    draw_with(command_settings(LatentSettings, "latent", str(run.path), typed))
    text = yaml.safe_load(shown.text.read_text(encoding="utf-8"))
    text |= {"command": shown.command, "run": shlex.join(["ganvas", *train_command(shown.run)])}
    del text["folder"], text["images"]
    shown.text.write_text(yaml.safe_dump(text, sort_keys=False, width=100), encoding="utf-8")
    print(f"{shown.name}: {text['values']}", flush=True)


def faults() -> list[str]:
    """What `--check` finds."""
    tools = {file.stem for file in (ROOT / "conf" / "tool").glob("*.yaml")}
    missing = sorted(tools - {shown.overrides[0].removeprefix("tool=") for shown in SHOWN})
    lacking = [f"{tool}: no picture in latent.yaml" for tool in missing]
    return lacking + [fault for shown in SHOWN if (fault := shown.fault())]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/latent"), help="where runs are")
    parser.add_argument("--only", nargs="+", help="names of pictures")
    parser.add_argument("--check", action="store_true", help="is every picture there and shown?")
    given = parser.parse_args()
    if given.check:
        sys.exit("\n".join(faults()) or 0)
    (HERE / "pictures").mkdir(exist_ok=True)
    write_drawn()
    for shown in SHOWN:
        if given.only is None or shown.name in given.only:
            draw(shown, given.runs)


if __name__ == "__main__":
    main()
