"""What each dimension of a code does to an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.latent.axes import Axes, axes_of
from ganvas.latent.chart import Stack
from ganvas.latent.lettering import signed
from ganvas.latent.options import one_of, positive, within
from ganvas.latent.scene import Codes
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Decodes

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

Around = Literal["code", "mean"]

MOST_STARTS = 20
"""Codes that one picture goes out from."""

TITLE = "One dimension of the code at a time, by"


class Traverse(Tool):
    """A row for each dimension z_j, which goes from one end of its range to the other.

    All other dimensions keep the values of the code that the picture goes out from. z_j takes the
    values m_j + t σ_j for t from −range to range, the same whatever it was in that code; m_j and
    σ_j are those of `Axes`: of the prior N(0, 1), or of the codes themselves. Rows come in order of
    what a dimension says of images (`Axes.weight`), the largest first.

    Args:
        around: "code" for that of each given image (the first of the split where none is), or a
            random one; "mean" for that of the prior, or of the codes where there is none.
        dims: rows at most.
        range: largest |t|.
        steps: images of a row, from 2 to 100.
        num_images: first images of the split that order and σ are measured on; None for all.
        gif: whether an animation shows all dimensions side by side, going to and fro.
        frames: of it, from 4 to 200.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Decodes,)

    def __init__(
        self,
        *,
        around: Around,
        dims: int,
        range: float,  # noqa: A002
        steps: int,
        num_images: int | None,
        gif: bool,
        frames: int,
    ) -> None:
        if num_images is not None and num_images < 2:  # noqa: PLR2004
            raise ValueError(
                f"num_images must be at least 2, or null for all, got {num_images}: one code has "
                "no variance"
            )
        self.around = one_of("around", around, Around)
        self.num_images, self.gif = num_images, gif
        self.dims = within("dims", dims, least=1, most=200)
        self.range = positive("range", range)
        self.steps = within("steps", steps, least=2, most=100)
        self.frames = within("frames", frames, least=4, most=200)

    def draw(self, scene: Scene) -> Drawing:
        """See the class.

        Raises:
            ValueError: images named where the mean was asked for; too many; a split without any.
        """
        if self.around == "mean" and scene.request.images is not None:
            raise ValueError("around=mean goes out from no image; leave images out, or around")
        given = None if self.around == "mean" else _given(scene)  # faults of images come first
        axes = axes_of(scene, reach=self.range, num=self.num_images)
        starts = given or _mean(scene, axes)
        found = Found(scene, starts, axes, axes.order[: self.dims])
        t = torch.linspace(-self.range, self.range, self.steps)
        codes = found.moved(t)
        images = found.decoded(codes)
        values = {f"{axes.kind}_z{j}": axes.weight[j].item() for j in found.dims.tolist()}
        if axes.sums:
            values[f"{axes.kind}_of_all"] = axes.weight.sum().item()
        sheets = [found.sheet(i, part, t) for i, part in enumerate(images)]
        return Drawing(
            sheets[0] if len(sheets) == 1 else Stack(sheets),
            values=values,
            tensors={"codes": codes, "images": images, "dims": found.dims, "weights": axes.weight},
            inputs=starts.names,
            notes=[*axes.words, axes.share(found.dims), *starts.notes],
            frames=list(found.frames(self.range, self.frames)) if self.gif else [],
            seconds=0.08,
        )


def _given(scene: Scene) -> Codes:
    """Codes of the images, or random ones."""
    starts = scene.codes(1)
    if len(starts.z) > MOST_STARTS:
        raise ValueError(f"images: at most {MOST_STARTS} fit, got {len(starts.z)}; name fewer")
    return starts


def _mean(scene: Scene, axes: Axes) -> Codes:
    """The mean code, once for each class that was asked for."""
    classes = scene.request.classes
    num = len(classes) if isinstance(classes, list) else 1
    y = scene.view.class_labels(num, classes)
    z = axes.mean.float().to(scene.view.module.device).expand(num, -1)
    names = [f"{axes.of} mean"] * num
    if y is not None:
        names = [f"{name} (class {k})" for name, k in zip(names, y.tolist(), strict=True)]
    return Codes(z, y, names, None)


@dataclass(frozen=True)
class Found:
    """All that is shown.

    Attributes:
        scene: decodes.
        starts: codes `(N, Z)` that the picture goes out from.
        axes: of the dimensions.
        dims: D of them, in their order.
    """

    scene: Scene
    starts: Codes
    axes: Axes
    dims: Tensor

    def moved(self, t: Tensor) -> Tensor:
        """Codes `(N, D, T, Z)`, in each of which one dimension is that of `(T,)` values of t."""
        z, dims = self.starts.z, self.dims
        values = self.axes.at(t)[dims].to(z)  # (D, T)
        codes = z[:, None, None].repeat(1, len(dims), len(t), 1)
        for row, (dim, row_values) in enumerate(zip(dims.tolist(), values, strict=True)):
            codes[:, row, :, dim] = row_values
        return codes

    def decoded(self, codes: Tensor) -> Tensor:
        """Images `(N, D, T, C, H, W)` of codes `(N, D, T, Z)`."""
        y = self.starts.y
        if y is not None:
            y = y.repeat_interleave(codes.shape[1] * codes.shape[2])
        return self.scene.decode(codes.flatten(0, 2), y).unflatten(0, codes.shape[:3])

    @property
    def labels(self) -> list[str]:
        """Of the dimensions: which, and how much it says."""
        return [f"z{j}\n{self.axes.said(j)}" for j in self.dims.tolist()]

    def sheet(self, index: int, images: Tensor, t: Tensor) -> Sheet:
        """The traversals `(D, T, C, H, W)` around one start."""
        starts, name = self.starts, self.starts.names[index]
        y = None if starts.y is None else starts.y[index : index + 1]
        beside = [self.scene.decode(starts.z[index : index + 1], y)[0]]
        captions = [name]
        if starts.inputs is not None:
            beside, captions = [starts.inputs.x[index], *beside], [name, "its reconstruction"]
        here = self.axes.places(starts.z[index])[self.dims].tolist()
        labels = [
            label if math.isnan(place) else f"{label}\nhere {signed(place, 2)} σ"
            for label, place in zip(self.labels, here, strict=True)
        ]
        rows = [[side, *(row or ())] for side, row in zip_longest(beside, map(list, images))]
        return Sheet(
            f"{TITLE} {self.axes.kind}, around {name}",
            rows,
            row_labels=labels,
            column_labels=["around", *(f"{signed(value)} σ" for value in t.tolist())],
            captions=[[caption] for caption in captions],
            marked=frozenset([(0, 0)] if starts.inputs is not None else []),
            bars=(1,),
        )

    def frames(self, reach: float, num: int) -> Iterator[Sheet]:
        """All dimensions side by side, from their middle to both ends and back; starts beneath."""
        starts = self.starts
        beside = self.scene.decode(starts.z, starts.y)
        for k in range(num):
            t = reach * math.sin(2 * math.pi * k / num)
            images = self.decoded(self.moved(torch.tensor([t])))[:, :, 0]
            yield Sheet(
                f"{TITLE} {self.axes.kind}: each at {t:+.1f} σ".replace("-", "−"),
                [[side, *row] for side, row in zip(beside, images, strict=True)],
                row_labels=starts.names,
                column_labels=["around", *self.labels],
                bars=(1,),
            )
