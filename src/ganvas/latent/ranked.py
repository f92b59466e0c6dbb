"""Pictures of images in the order of a score: sheets of them, and where they stand in a split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganvas.latent.inputs import Inputs, images_at
from ganvas.latent.lettering import significant
from ganvas.latent.scene import finite
from ganvas.latent.sheet import Sheet
from ganvas.metrics.ranks import percentiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ganvas.latent.scene import Scene
    from ganvas.models.view import ModelView

WORDS = {"error": "squared error, summed over pixels", "elbo": "−ELBO in nats"}
"""What is ranked by."""

ROW, BLOCK, BARS = 8, 256, 40
"""Images beside each other; images scored at once; bars of the histogram."""

NAME = 0.02
"""Of the axis: what a name of a given image needs beside it."""

USUAL, ODD = "tab:blue", "tab:red"

Scores = Callable[[Tensor, Tensor | None], Tensor]
"""From images `(B, C, H, W)` in [0, 1] and labels `(B,)` to how odd they are, float64 `(B,)`."""


@dataclass(frozen=True)
class Odd:
    """What is said to be odd.

    Attributes:
        mask: which images, bool `(N,)`.
        classes: of theirs.
        words: for them.
    """

    mask: Tensor
    classes: tuple[int, ...]
    words: str


@dataclass(frozen=True)
class Part:
    """The images of the picture.

    Attributes:
        sheet: of them and their reconstructions.
        names: of the images that were asked for.
        marks: scores that the chart shows, by name.
        values: to be said.
        tensors: to be kept.
        notes: for a reader.
    """

    sheet: Sheet
    names: Sequence[str]
    marks: Sequence[tuple[str, float]] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Ranked:
    """A split with its scores.

    Attributes:
        scene: whose split it is.
        kind: of score.
        scores: `(N,)`, the larger the odder.
        odd: which of them are odd; None where none was said to be.
    """

    scene: Scene
    kind: str
    scores: Tensor
    odd: Odd | None

    def extremes(self, show: int) -> Part:
        """The most usual and the most odd images of the split."""
        scene, order = self.scene, self.scores.argsort(stable=True)
        show = min(show, len(order) // 2)
        positions = torch.cat([order.flip(0)[:show], order[:show]])
        found = images_at(scene.data, scene.request.split, positions.tolist())
        made = scene.reconstruct(found)
        words = [self._words(score) for score in self.scores[positions].tolist()]
        parts = {"oddest": slice(0, show), "most usual": slice(show, None)}
        title = f"The oddest and the most usual images, by {WORDS[self.kind]}"
        return Part(
            _sheet(title, parts, found, made, words),
            [],
            tensors={"positions": positions, "images": found.x, "reconstructions": made},
        )

    def given(self, found: Inputs, function: Scores, show: int) -> Part:
        """Given images, the oddest first, and how many of the split are less odd."""
        scene = self.scene
        scores = _of_inputs(found, scene.view, function)
        percent = percentiles(scores, self.scores)
        order = scores.argsort(descending=True, stable=True).tolist()[: 2 * show]
        names = found.captions
        first = Inputs(
            found.x[order],
            None if found.y is None else found.y[order],
            [found.names[i] for i in order],
        )
        made = scene.reconstruct(first)
        split = scene.request.split
        words = {
            i: f"{self._words(scores[i].item())}\nodder than\n{percent[i]:.1f} % of {split}"
            for i in order
        }
        title = f"Given images, the oddest first, by {WORDS[self.kind]}"
        left = len(found) - len(order)
        return Part(
            _sheet(title, {"given": slice(0, None)}, first, made, [words[i] for i in order]),
            names,
            marks=[(names[i], scores[i].item()) for i in order],
            values={
                f"{rank}. {names[i]}": words[i].replace("\nodder", ", odder").replace("\n", " ")
                for rank, i in enumerate(order, start=1)
            },
            tensors={
                "given_scores": scores,
                "percentiles": percent,
                "images": first.x,
                "reconstructions": made,
            },
            notes=[*found.notes, *[f"{left} less odd ones are not shown"] * bool(left)],
        )

    def _words(self, score: float) -> str:
        return f"{score:.1f} nats" if self.kind == "elbo" else f"error {significant(score)}"

    def paint(self, axes: Axes, *, marks: Sequence[tuple[str, float]]) -> None:
        """How many images have such scores, odd classes apart, and where given ones stand."""
        values = [*self.scores.tolist(), *(score for _, score in marks)]
        edges = np.linspace(min(values), max(*values, min(values) + 1e-9), BARS + 1).tolist()
        kinds = {"": (self.scores, USUAL)}
        if self.odd is not None:
            usual, odd = self.scores[~self.odd.mask], self.scores[self.odd.mask]
            kinds = {"all others": (usual, USUAL), self.odd.words: (odd, ODD)}
        for name, (scores, colour) in kinds.items():
            shares = np.full(len(scores), 100 / len(scores))
            label = f"{name} ({len(scores)} images)"
            axes.hist(scores.numpy(), edges, weights=shares, color=colour, alpha=0.6, label=label)
        room, named = NAME * (edges[-1] - edges[0]), -math.inf
        for name, score in sorted(marks, key=lambda mark: mark[1]):
            axes.axvline(score, color="black", linewidth=1)
            if score - named < room:  # its name would stand on the last one's
                continue
            named = score
            place: dict[str, Any] = {
                "transform": axes.get_xaxis_transform(),
                "va": "top",
                "ha": "right",
            }
            axes.text(score, 0.98, name, rotation=90, fontsize=8, **place)
        axes.set_xlabel(f"{WORDS[self.kind]} (larger = odder)")
        axes.set_ylabel("% of images" if self.odd is None else "% of each kind's images")
        if self.odd is not None:
            axes.legend(loc="center right")  # names of given images are at the top


def _sheet(
    title: str, parts: Mapping[str, slice], found: Inputs, made: Tensor, words: Sequence[str]
) -> Sheet:
    """Rows of images with names, reconstructions with scores beneath them."""
    rows: list[list[Tensor]] = []
    labels, captions = [], []
    for label, part in parts.items():
        indices = list(range(len(found)))[part]
        for block in (indices[i : i + ROW] for i in range(0, len(indices), ROW)):
            rows += [[found.x[i] for i in block], [made[i] for i in block]]
            labels += [label, "rebuilt"]
            captions += [[found.caption(i) for i in block], [words[i] for i in block]]
    marked = frozenset((r, c) for r in range(0, len(rows), 2) for c in range(len(rows[r])))
    return Sheet(title, rows, row_labels=labels, captions=captions, marked=marked)


def _of_inputs(found: Inputs, view: ModelView, function: Scores) -> Tensor:
    """Scores `(N,)` of given images."""
    y, device = found.given(view.module), view.module.device
    x, y = found.x.to(device), None if y is None else y.to(device)
    with torch.no_grad():
        parts = [
            function(x[i : i + BLOCK], None if y is None else y[i : i + BLOCK])
            for i in range(0, len(found), BLOCK)
        ]
    return finite(torch.cat(parts).cpu(), what="scores")
