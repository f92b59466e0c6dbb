"""From one image to the next through latent space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.latent.options import one_of, within
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Decodes

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene

Path = Literal["linear", "spherical", "both"]

TITLE = "From one code to the next"

MOST_ENDS = 50
"""Images that one picture goes through."""


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 − t) a + t b, `(T, Z)`, for codes `(Z,)` and t `(T,)`; exact at both ends."""
    return torch.where(t[:, None] < 1, a + t[:, None] * (b - a), b)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the arc between directions, lengths changing linearly; `(T, Z)` as `lerp`.

    The directions u = a/|a| and v = b/|b|, ω apart, are joined by (sin((1 − t)ω) u + sin(tω) v) /
    sin ω (Shoemake 1985); the length is (1 − t)|a| + t|b|. Codes of N(0, I) in many dimensions
    then keep the lengths near √Z that a decoder was trained on, where the middle of a line is
    nearer to 0 (White 2016, arXiv:1609.04468).

    Deviation: White puts a and b in the place of u and v, whose length in between is then no
    simple function of those of the ends. Here no length is assumed, and none is left: posterior
    means are shorter than √Z, by the dimensions that are not used, and stay as short as they are.

    Parallel, opposite and zero codes have no single arc: the line is taken.
    """
    omega = angle(a, b)
    if math.sin(omega) < 1e-6:  # noqa: PLR2004
        return lerp(a, b, t)
    u, v, s = a.double() / a.double().norm(), b.double() / b.double().norm(), t.double()[:, None]
    direction = (((1 - s) * omega).sin() * u + (s * omega).sin() * v) / math.sin(omega)
    arc = (direction * ((1 - s) * a.double().norm() + s * b.double().norm())).to(a)
    return torch.where(t[:, None] <= 0, a, torch.where(t[:, None] < 1, arc, b))


def angle(a: Tensor, b: Tensor) -> float:
    """Between codes `(Z,)`, from 0 to π; 0 where one of them is zero.

    2 atan2(|u − v|, |u + v|) for directions u and v: unlike arccos it loses no digits near 0 and π.
    """
    long_a, long_b = a.double().norm(), b.double().norm()
    if not (long_a > 0 and long_b > 0):
        return 0.0
    u, v = a.double() / long_a, b.double() / long_b
    return 2 * math.atan2((u - v).norm().item(), (u + v).norm().item())


PATHS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear": lerp,
    "spherical": slerp,
}


class Interpolate(Tool):
    """Rows from each given image (or random code) to the next.

    Two images give one row, more give one for each pair of neighbours. The ends of a row are the
    images' reconstructions, to the bit; the images stand beside them. Of a conditional model each
    panel is decoded with the class of the nearer end. ‖z‖ is the length of a code.

    Args:
        path: "linear", "spherical" or "both", each in a row of its own.
        steps: images of a row, from 2 to 100, both ends included.
        num: images, or random codes, where none are named.
        gif: whether an animation goes through all of them and back to the first.
        frames: of the animation from one to the next, from 2 to 100.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Decodes,)

    def __init__(self, *, path: Path, steps: int, num: int, gif: bool, frames: int) -> None:
        self.paths = tuple(PATHS) if one_of("path", path, Path) == "both" else (path,)
        self.steps = within("steps", steps, least=2, most=100)
        self.num = within("num", num, least=2, most=MOST_ENDS)
        self.gif = gif
        self.frames = within("frames", frames, least=2, most=100)

    def draw(self, scene: Scene) -> Drawing:
        """See the class.

        Raises:
            ValueError: more images than a picture can show.
        """
        ends = scene.codes(self.num, least=2)
        if len(ends.z) > MOST_ENDS:
            raise ValueError(f"images: at most {MOST_ENDS} fit, got {len(ends.z)}; name fewer")
        decoded = scene.decode(ends.z, ends.y)
        rows = [(pair, path) for pair in pairwise(range(len(ends.z))) for path in self.paths]
        t = torch.linspace(0, 1, self.steps)
        walks = [_walk(scene, ends, pair, path, t) for pair, path in rows]
        codes, images = (torch.stack(parts) for parts in zip(*walks, strict=True))
        for row, ((i, j), _) in zip(images, rows, strict=True):
            row[0], row[-1] = decoded[i], decoded[j]  # other batch sizes round otherwise
        angles = [math.degrees(angle(a, b)) for a, b in pairwise(ends.z)]
        sheet = Sheet(
            TITLE,
            [list(row) for row in images],
            row_labels=[_label(ends, pair, path, angles[pair[0]]) for pair, path in rows],
            column_labels=["t = 0", *(f"{value:.3g}" for value in t[1:].tolist())],
            captions=[[f"‖z‖ {z.norm():.2f}" for z in row] for row in codes],
        )
        if ends.inputs is not None:
            sheet = _between(sheet, ends.inputs.x, [pair for pair, _ in rows])
        names = [f"angle {a} → {b}" for a, b in pairwise(ends.names)]
        return Drawing(
            sheet,
            values=dict(zip(names, angles, strict=True)),
            tensors={"codes": codes, "images": images},
            inputs=ends.names,
            notes=[*_notes(scene, ends, self.paths), *ends.notes],
            frames=list(self._frames(scene, ends, decoded)) if self.gif else [],
            seconds=0.08,
        )

    def _frames(self, scene: Scene, ends: Codes, decoded: Tensor) -> Iterator[Sheet]:
        """From each to the next and from the last to the first, slowest where images are."""
        shown = list(decoded if ends.inputs is None else ends.inputs.x)
        t = (1 - (torch.arange(self.frames) / self.frames * math.pi).cos()) / 2
        for i in range(len(shown)):
            pair = i, (i + 1) % len(shown)
            walks = [_walk(scene, ends, pair, path, t)[1] for path in self.paths]
            for images in zip(*walks, strict=True):
                yield Sheet(
                    TITLE,
                    [shown, list(images)],
                    row_labels=["through", "the walk"],
                    captions=[ends.names, self.paths],
                    marked=frozenset((0, end) for end in pair),
                )


def _walk(
    scene: Scene, ends: Codes, pair: tuple[int, int], path: str, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Codes `(T, Z)` from one end to another, and what they are decoded to."""
    i, j = pair
    t = t.to(ends.z)
    codes = PATHS[path](ends.z[i], ends.z[j], t)
    y = None
    if ends.y is not None:
        nearer = (t <= 0.5).to(ends.y.device)  # noqa: PLR2004
        y = torch.where(nearer, ends.y[i], ends.y[j])
    return codes, scene.decode(codes, y)


def _label(ends: Codes, pair: tuple[int, int], path: str, degrees: float) -> str:
    """Of a row."""
    turn = f", {degrees:.0f}°" if path == "spherical" else ""
    return f"{ends.names[pair[0]]}\n→ {ends.names[pair[1]]}\n{path}{turn}"


def _notes(scene: Scene, ends: Codes, paths: Sequence[str]) -> list[str]:
    """What the numbers mean, and what an arc and a class do here."""
    width, normal = ends.z.shape[1], scene.view.module.standard_normal_prior
    usual = f"; of N(0, I) near √{width} = {math.sqrt(width):.2f}" if normal else ""
    notes = [f"‖z‖: the length of a code{usual}"]
    if "spherical" in paths and not normal:
        notes.append(
            "spherical: an arc around 0, which has no meaning of its own where the prior is not "
            "N(0, I)"
        )
    if ends.y is not None and len(ends.y.unique()) > 1:
        notes.append("each panel is decoded with the class of the nearer end")
    return notes


def _between(sheet: Sheet, x: Tensor, pairs: Sequence[tuple[int, int]]) -> Sheet:
    """Each row between the images `(N, C, H, W)` that it leads from and to."""
    last = sheet.num_columns + 1
    return replace(
        sheet,
        rows=[[x[i], *row, x[j]] for row, (i, j) in zip(sheet.rows, pairs, strict=True)],
        column_labels=["from", *sheet.column_labels, "to"],
        captions=[["", *row, ""] for row in sheet.captions],
        marked=frozenset((r, c) for r in range(len(sheet.rows)) for c in (0, last)),
        bars=(1, last),
    )
