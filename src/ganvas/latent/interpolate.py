"""From one image to the next through latent space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Decodes

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

Path = Literal["linear", "spherical", "both"]


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 − t) a + t b, `(T, Z)`, for codes `(Z,)` and t `(T,)`; exact at both ends."""
    return torch.where(t[:, None] < 1, a + t[:, None] * (b - a), b)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the arc between directions, norms changing linearly; `(T, Z)` as `lerp`.

    a/|a| and b/|b| are joined by sin((1 − t)ω)/sin ω and sin(tω)/sin ω (Shoemake 1985; White 2016,
    arXiv:1609.04468); codes of N(0, I) then keep the norms that the decoder was trained on, where
    the middle of a line is nearer to 0. Parallel, opposite and zero codes have no single arc: the
    line is taken.
    """
    long_a, long_b = a.norm(), b.norm()
    cosine = (a @ b / (long_a * long_b)).clamp(-1, 1)
    if not bool(cosine.abs() < 1 - 1e-6):
        return lerp(a, b, t)
    omega, t = cosine.acos(), t[:, None]
    direction = ((1 - t) * omega).sin() * a / long_a + (t * omega).sin() * b / long_b
    return direction / omega.sin() * ((1 - t) * long_a + t * long_b)


WAYS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "linear": lerp,
    "spherical": slerp,
}


class Interpolate(Tool):
    """Rows from each given image (or random code) to the next.

    Two images give one row, more give one for each pair of neighbours. The ends of a row are the
    images' reconstructions; the images stand beside them. Of a conditional model all of a row is
    decoded with the label of its first image.

    Args:
        path: "linear", "spherical" or "both", each in a row of its own.
        steps: images of a row, both ends included.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Decodes,)

    def __init__(self, *, path: Path, steps: int) -> None:
        if path not in get_args(Path):
            raise ValueError(f"path must be linear, spherical or both, got {path!r}")
        if steps < 2:  # noqa: PLR2004
            raise ValueError(f"steps must be at least 2, the two ends, got {steps}")
        self.paths = tuple(WAYS) if path == "both" else (path,)
        self.steps = steps

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        ends = scene.codes(4, least=2)
        t = torch.linspace(0, 1, self.steps, device=ends.z.device)
        pairs = [(i, path) for i in range(len(ends.z) - 1) for path in self.paths]
        codes = torch.stack([WAYS[path](ends.z[i], ends.z[i + 1], t) for i, path in pairs])
        y = None
        if ends.y is not None:
            y = torch.stack([ends.y[i] for i, _ in pairs]).repeat_interleave(self.steps)
        images = scene.decode(codes.flatten(0, 1), y).unflatten(0, codes.shape[:2])
        sheet = Sheet(
            "From one code to the next",
            [list(row) for row in images],
            row_labels=[f"{ends.names[i]} → {ends.names[i + 1]}\n{path}" for i, path in pairs],
            column_labels=[f"{value:.3g}" for value in t.tolist()],
        )
        if ends.inputs is not None:
            sheet = _between(sheet, ends.inputs.x, [i for i, _ in pairs])
        return Drawing(
            sheet,
            tensors={"codes": codes, "images": images},
            inputs=ends.names,
            notes=ends.notes,
        )


def _between(sheet: Sheet, x: Tensor, starts: Sequence[int]) -> Sheet:
    """Each row between the images `(N, C, H, W)` that it leads from and to."""
    last = sheet.num_columns + 1
    return replace(
        sheet,
        rows=[[x[i], *row, x[i + 1]] for row, i in zip(sheet.rows, starts, strict=True)],
        column_labels=["from", *sheet.column_labels, "to"],
        marked=frozenset((r, c) for r in range(len(sheet.rows)) for c in (0, last)),
        bars=(1, last),
    )
