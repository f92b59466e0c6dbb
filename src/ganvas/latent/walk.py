"""How a run learnt: its recorded grids of images, side by side and as an animation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ganvas.data.decode import opened_image
from ganvas.errors import RunError
from ganvas.latent.options import at_least, one_of, within
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.tracking.files import read_run_json
from ganvas.tracking.tables import metrics_frame

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

Kind = Literal["samples", "reconstructions"]
Of = Literal["auto", "samples", "reconstructions"]

COLUMNS, HELD = 5, 6
"""Panels of a row; how often the last frame is shown."""

GREY = (200, 200, 200)

WHAT: Mapping[Kind, str] = {
    "samples": "each grid is of the same noise",
    "reconstructions": "each grid is of the same images: a row of them above the row of their "
    "reconstructions",
}

Part = TypeVar("Part")


@dataclass(frozen=True)
class Grid:
    """A recorded picture: the file, and the batches consumed when it was made."""

    file: Path
    step: int


class Walk(Tool):
    """The grids that training recorded, from the first to the last, and all of them in motion.

    Args:
        of: "samples" (of the same noise each time), "reconstructions" (of the same images), or
            "auto": samples where any were recorded.
        num: panels at most; the first and the last grid are always there, others evenly by order.
        frames: of the animation at most, likewise.
        side: longer side of a panel in pixels; larger grids are made smaller, none larger.

    Raises:
        ValueError: for a value out of range.
    """

    draws_images: ClassVar[bool] = False

    def __init__(self, *, of: Of, num: int, frames: int, side: int) -> None:
        at_least(2, num=num, frames=frames)
        within("side", side, least=32, most=2000)
        self.of = one_of("of", of, Of)
        self.num, self.frames, self.side = num, frames, side

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        if scene.request.images is not None:
            raise ValueError(
                f"images must be left out, got {scene.request.images}: grids show what training "
                "recorded"
            )
        of: Kind = "samples" if self.of == "auto" else self.of
        if self.of == "auto" and not _found(scene.folder, of):
            of = "reconstructions"
        grids = recorded(scene.folder, of)
        shown, moving = thinned(grids, self.num), thinned(grids, self.frames)
        seen, notes = _images_seen(scene.folder)
        panels = self._panels({grid.file for grid in (*shown, *moving)})
        words = {grid.file: _words(grid, seen) for grid in grids}
        return Drawing(
            Sheet(
                f"{of.capitalize()} over training",
                list(_rows([panels[grid.file] for grid in shown])),
                captions=list(_rows([words[grid.file] for grid in shown])),
            ),
            values={"grids": len(grids), "first_step": grids[0].step, "last_step": grids[-1].step},
            tensors={
                "images": torch.stack([panels[grid.file] for grid in shown]),
                "steps": torch.tensor([grid.step for grid in shown]),
            },
            inputs=[grid.file.name for grid in shown],
            notes=[*self._notes(scene.folder, grids, of), *notes],
            frames=_moving([(panels[grid.file], words[grid.file]) for grid in moving], of),
            seconds=0.3,
        )

    def _panels(self, files: Iterable[Path]) -> dict[Path, Tensor]:
        """Images `(3, H, W)` in [0, 1] of one shape: made smaller, and centred on white."""
        pictures = {file: _opened(file, side=self.side) for file in files}
        height = max(picture.height for picture in pictures.values())
        width = max(picture.width for picture in pictures.values())
        panels = {}
        for file, picture in pictures.items():
            canvas = Image.new("RGB", (width, height), "white")
            at = ((width - picture.width) // 2, (height - picture.height) // 2)
            canvas.paste(picture, at)
            ImageDraw.Draw(canvas).rectangle((0, 0, width - 1, height - 1), outline=GREY)
            panels[file] = torch.from_numpy(np.array(canvas)).permute(2, 0, 1) / 255
        return panels

    def _notes(self, folder: Path, grids: Sequence[Grid], of: Kind) -> list[str]:
        """What is not shown, and how the run ended."""
        notes = [WHAT[of]]
        num, last = len(grids), grids[-1].step
        if num > self.num:
            moving = f"{self.frames}" if num > self.frames else "all"
            notes.append(
                f"{num:,} grids were recorded; the sheet shows {self.num}, evenly by their order, "
                f"and the animation {moving}"
            )
        status = read_run_json(folder)["status"]
        if status == "running":
            notes.append(f"the run has not ended: grids up to step {last:,}")
        elif status != "finished":
            notes.append(f"the run was {status}: grids up to step {last:,}")
        return notes


def _moving(parts: Sequence[tuple[Tensor, str]], of: Kind) -> list[Sheet]:
    """One panel after another, if there are several; the last one stays a while."""
    frames = []
    for panel, words in parts:
        step, *seen = words.split("\n")
        frames.append(Sheet(f"{of.capitalize()}, {step}", [[panel]], captions=[seen]))
    return frames + frames[-1:] * HELD if len(frames) > 1 else []


def recorded(folder: Path, of: Kind) -> list[Grid]:
    """The grids of a run, by their steps.

    Raises:
        ValueError: if there are none.
    """
    if grids := _found(folder, of):
        return grids
    other: Kind = "samples" if of == "reconstructions" else "reconstructions"
    if _found(folder, other):
        raise ValueError(f"of={of}: this run recorded {other} alone; choose tool.of={other}")
    if read_run_json(folder)["status"] == "running":
        raise ValueError(f"of={of}: {folder / 'samples'} holds no grid yet; wait for the first one")
    raise ValueError(
        f"of={of}: {folder / 'samples'} holds no grid of samples or reconstructions; train with "
        "callbacks.images, which records them (callbacks.images.every_n_epochs=1: each epoch)"
    )


def thinned(grids: Sequence[Grid], num: int) -> list[Grid]:
    """At most so many of them, evenly by order; the first and the last are among them."""
    at = np.linspace(0, len(grids) - 1, min(num, len(grids))).round().astype(int)
    return [grids[i] for i in at]


def _found(folder: Path, of: Kind) -> list[Grid]:
    """Those there are, by their steps."""
    pattern = re.compile(rf"{of}-(\d+)\.png")
    files = folder.glob(f"samples/{of}-*.png")
    matches = [(file, pattern.fullmatch(file.name)) for file in files]
    return sorted((Grid(f, int(m[1])) for f, m in matches if m), key=lambda grid: grid.step)


def _opened(file: Path, *, side: int) -> Image.Image:
    """RGB, its longer side at most so many pixels.

    Raises:
        DataError: if it can't be read, by name.
    """
    with opened_image(file, remedy="restore it, or delete it to go without") as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _images_seen(folder: Path) -> tuple[dict[int, int], list[str]]:
    """Images by logged step; a note where the table can't be read."""
    try:
        seen = metrics_frame(folder)["images_seen"]
    except RunError as error:
        return {}, [f"images seen are not told: {error}"]
    return dict(zip(seen.index.tolist(), seen.tolist(), strict=True)), []


def _words(grid: Grid, seen: dict[int, int]) -> str:
    """The step, and the images seen by then: ≈ between logged steps, > after the last one."""
    text = f"step {grid.step:,}"
    if not seen:
        return text
    near = "" if grid.step in seen else "> " if grid.step > max(seen) else "≈ "
    images = np.interp(grid.step, [0, *seen], [0, *seen.values()])
    return f"{text}\n{near}{images:,.0f} images seen"


def _rows(parts: Sequence[Part]) -> Iterable[list[Part]]:
    """In rows of panels."""
    return (list(parts[i : i + COLUMNS]) for i in range(0, len(parts), COLUMNS))
