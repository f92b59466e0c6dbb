"""Given images whose codes are moved along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganvas.latent.attribute import Direction
from ganvas.latent.chart import Stack
from ganvas.latent.lettering import number, signed
from ganvas.latent.sheet import Picture, Sheet
from ganvas.latent.tool import Drawing

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene

NUM_SHOWN = 6
"""Images that are moved where none were given."""


@dataclass(frozen=True)
class Moved:
    """Given images, and what their codes become.

    Attributes:
        title: of the sheet.
        start: N codes.
        strengths: `(S,)`, 0 in the middle.
        codes: moved, `(N, S, Z)`.
        images: that they are decoded to, `(N, S, C, H, W)`.
        before: positions of the given images' codes along the direction, `(N,)`.
        after: of the codes that `images` are encoded to, `(N, S)`.
        direction: that they are moved along.
    """

    title: str
    start: Codes
    strengths: Tensor
    codes: Tensor
    images: Tensor
    before: Tensor
    after: Tensor
    direction: Direction

    @property
    def sheet(self) -> Sheet:
        """A row for each image; beneath each panel its position along the direction."""
        assert self.start.inputs is not None
        columns = [signed(s) if s else "0\nreconstruction" for s in self.strengths.tolist()]
        positions = torch.cat([self.before[:, None], self.after], dim=1)
        return Sheet(
            self.title,
            [[x, *row] for x, row in zip(self.start.inputs.x, self.images, strict=True)],
            row_labels=list(self.start.names),
            column_labels=["given", *columns],
            captions=[[number(position) for position in row] for row in positions.tolist()],
            marked=frozenset((r, 0) for r in range(len(self.images))),
            bars=(1,),
        )

    def drawing(
        self,
        pictures: Sequence[Picture],
        values: dict[str, Any],
        *,
        notes: Sequence[str] = (),
    ) -> Drawing:
        """All of it, with what columns and captions mean."""
        meaning = (
            "columns: strength, where 1 is as far as from the one mean to the other; beneath: "
            "where each image lies when it is encoded, 0 at the one mean and 1 at the other"
        )
        return Drawing(
            Stack(pictures),
            values=values,
            tensors={
                "direction": self.direction.step,
                "strengths": self.strengths,
                "codes": self.codes,
                "images": self.images,
                "positions": self.after,
            },
            inputs=self.start.names,
            notes=list(dict.fromkeys([meaning, *notes, *self.start.notes])),
        )


def moved(scene: Scene, direction: Direction, strengths: Sequence[float], title: str) -> Moved:
    """The given images, or the first ones of the split, at each strength, to and fro."""
    start = scene.codes(NUM_SHOWN)
    steps = torch.tensor([*(-s for s in reversed(strengths)), 0.0, *strengths])
    step = direction.step.to(start.z)
    codes = start.z[:, None] + steps.to(step)[:, None] * step
    y = None if start.y is None else start.y.repeat_interleave(len(steps))
    images = scene.decode(codes.flatten(0, 1), y)
    after = direction.positions(scene.encode(images, y))
    return Moved(
        title,
        start,
        strengths=steps,
        codes=codes.cpu(),
        images=images.unflatten(0, codes.shape[:2]),
        before=direction.positions(start.z),
        after=after.unflatten(0, codes.shape[:2]),
        direction=direction,
    )
