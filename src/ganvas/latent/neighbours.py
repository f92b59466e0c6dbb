"""Image search: what lies nearest to an image by its code, and by its pixels for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch
from torch import Tensor

from ganvas.latent.inputs import Inputs, chosen_images
from ganvas.latent.scene import Request
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.metrics.nearest import Found, search
from ganvas.nn.extractor import quantized, unit
from ganvas.protocols import Conditional, Encodes, HasPosterior
from ganvas.types import Split

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene

Metric = Literal["euclidean", "cosine"]


def nearest_codes(queries: Tensor, codes: Tensor, *, k: int, metric: Metric) -> Found:
    """The k nearest of codes `(M, Z)` for each of queries `(N, Z)`.

    The cosine distance 1 − cos(x, y) is half the squared Euclidean one of x/|x| and y/|y|.

    Raises:
        ValueError: if a code has no direction and `metric` is "cosine", or there are fewer than k.
    """
    if metric == "euclidean":
        return search(queries, codes, k=k)
    found = search(_directions(queries), _directions(codes), k=k)
    return Found(found.distances.square() / 2, found.indices)


def _directions(codes: Tensor) -> Tensor:
    codes = codes.double()
    lengths = codes.norm(dim=1, keepdim=True)
    if zeros := int((lengths == 0).sum()):
        raise ValueError(
            f"metric=cosine: codes must have a direction, got {zeros} of length 0; "
            "take tool.metric=euclidean"
        )
    return codes / lengths


def without(found: Found, own: Sequence[int | None]) -> Found:
    """One neighbour less for each query: itself, where it is among them, else the farthest.

    Args:
        found: of N queries.
        own: the index of each query among the points; None where it is not one of them.
    """
    k = found.indices.shape[1] - 1
    mine = torch.tensor([-1 if i is None else i for i in own])[:, None]
    is_own = found.indices == mine
    is_own[~is_own.any(1), k] = True
    distances, indices = found.distances[~is_own], found.indices[~is_own]
    return Found(distances.unflatten(0, (-1, k)), indices.unflatten(0, (-1, k)))


class Neighbours(Tool):
    """The images of a split nearest to each given image, by code and by pixels.

    A search by code shows what the model takes for alike; the search by pixels beneath it is what
    any such claim must be compared with. Codes are those of `encode`: means, where there is
    q(z|x). An image that is itself in the searched split is left out for itself, not for others.

    Args:
        k: neighbours of each image.
        metric: of codes: "euclidean" or "cosine".
        within: the split that is searched.
        num_searched: only its first so many images; None for all.
        measured: images of the request's split that values are measured on where none are named.
        shown: how many of these are in the picture.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Encodes,)

    def __init__(
        self,
        *,
        k: int,
        metric: Metric,
        within: Split,
        num_searched: int | None,
        measured: int,
        shown: int,
    ) -> None:
        if metric not in get_args(Metric):
            raise ValueError(f"metric must be euclidean or cosine, got {metric!r}")
        if within not in get_args(Split):
            raise ValueError(f"within must be train, val or test, got {within!r}")
        counts = {"k": k, "num_searched": num_searched, "measured": measured, "shown": shown}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.k, self.metric, self.within = k, metric, within
        self.num_searched, self.measured, self.shown = num_searched, measured, shown

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        if scene.is_random:
            raise ValueError(
                "images must be images to search for, got random; name some, e.g. images=[0,1]"
            )
        queries = scene.codes(self.measured)
        hits = self._search(scene, queries)
        num = self.shown if scene.request.images is None else len(queries.z)
        return Drawing(
            self._sheet(scene, hits, num=min(num, len(queries.z))),
            values=hits.values,
            tensors={
                "codes": queries.z,
                "by_code": hits.by_code.indices,
                "by_pixels": hits.by_pixels.indices,
                "code_distances": hits.by_code.distances,
                "pixel_distances": hits.by_pixels.distances,
            },
            inputs=queries.names[:num],
            notes=[*queries.notes, *self._notes(scene, hits)],
        )

    def _search(self, scene: Scene, queries: Codes) -> Hits:
        """The neighbours of all queries.

        Raises:
            ValueError: if fewer than k other images are searched.
        """
        assert queries.inputs is not None
        searched = scene.encodings(self.within, num=self.num_searched)
        there, split = len(searched.z), scene.request.split
        own = [
            p if split == self.within and p is not None and p < there else None
            for p in queries.inputs.positions
        ]
        extra = int(any(p is not None for p in own))
        if there < self.k + extra:
            others = " besides the image itself" if extra else ""
            raise ValueError(
                f"k={self.k}: {there} images are searched, too few for as many neighbours"
                f"{others}; choose a smaller tool.k, or search more"
            )
        k = self.k + extra
        found = (
            nearest_codes(queries.z.cpu(), searched.z, k=k, metric=self.metric),
            self._nearest_pixels(scene, queries.inputs.x, k=k),
        )
        by_code, by_pixels = (without(part, own) for part in found) if extra else found
        return Hits(queries.inputs, own, searched.y, there, by_code, by_pixels)

    def _nearest_pixels(self, scene: Scene, x: Tensor, *, k: int) -> Found:
        """The k nearest by pixels of images `(N, C, H, W)` in [0, 1], as metrics see them."""
        low_high = (0.0, 1.0)

        def seen(images: Tensor) -> Tensor:  # in bytes, which take a quarter of the memory
            to_seen = quantized if scene.subject.quantizes else unit
            return to_seen(images, low_high).flatten(1)

        batches = scene.subject.batches(self.within, num=self.num_searched, value_range=low_high)
        points = scene.subject.collect(lambda batch: {"x": seen(batch.x)}, batches)["x"]
        found = search(seen(x), points, k=k)
        return Found(found.distances / (255 if scene.subject.quantizes else 1), found.indices)

    def _sheet(self, scene: Scene, hits: Hits, *, num: int) -> Sheet:
        """Two rows for each query: by code, and by pixels."""
        found = [part for i in range(num) for part in (hits.by_code, hits.by_pixels)]
        rows = torch.stack([part.indices[i // 2] for i, part in enumerate(found)])
        request = Request(images=rows.flatten().tolist(), split=self.within)
        shown = chosen_images(scene.data, request, num=None)
        images = shown.x.unflatten(0, rows.shape)
        first = [None if r % 2 else hits.queries.x[r // 2] for r in range(len(rows))]
        return Sheet(
            f"Image search: the nearest of {hits.num:,} {self.within} images",
            [[query, *row] for query, row in zip(first, images, strict=True)],
            row_labels=[hits.label(r // 2, by_code=r % 2 == 0) for r in range(len(rows))],
            column_labels=["query", *map(str, range(1, self.k + 1))],
            captions=[
                [
                    "" if r % 2 else hits.queries.caption(r // 2),
                    *(hits.caption(r // 2, column, part) for column in range(self.k)),
                ]
                for r, part in enumerate(found)
            ],
            marked=frozenset((r, 0) for r in range(0, len(rows), 2)),
            bars=(1,),
        )

    def _notes(self, scene: Scene, hits: Hits) -> list[str]:
        """What a reader must know."""
        model, notes = scene.view.module, []
        means = " (means of q(z|x))" if isinstance(model, HasPosterior) else ""
        notes.append(
            f"beneath {self.within} images: position · distance, {self.metric} of codes{means}, "
            "euclidean of pixels in [0, 1]"
        )
        if isinstance(model, Conditional):
            notes.append("the encoder is told the class, so that codes need not hold it")
        if any(p is not None for p in hits.own):
            notes.append("an image of the searched split is no neighbour of itself")
        first = f"the first {len(hits.queries)} images of {scene.request.split}"
        named = f"these {len(hits.queries)} queries"
        notes.append(hits.summary(first if scene.request.images is None else named))
        return notes


@dataclass(frozen=True)
class Hits:
    """What was found.

    Attributes:
        queries: N images.
        own: the index of each among the searched images; None where it is not one of them.
        y: classes of the searched images, or None.
        num: of searched images.
        by_code: k neighbours of each query.
        by_pixels: the same by pixels.
    """

    queries: Inputs
    own: Sequence[int | None]
    y: Tensor | None
    num: int
    by_code: Found
    by_pixels: Found

    @cached_property
    def known(self) -> Tensor:
        """Which queries have a class that can be compared, bool `(N,)`."""
        if self.queries.y is None or self.y is None:
            return torch.zeros(len(self.queries), dtype=torch.bool)
        return self.queries.y.cpu() >= 0

    def same_class(self, found: Found) -> Tensor:
        """Whether each neighbour has its query's class, bool `(N, k)`."""
        assert self.y is not None
        assert self.queries.y is not None
        return self.y[found.indices] == self.queries.y.cpu()[:, None]

    @cached_property
    def in_both(self) -> Tensor:
        """How many neighbours are in both lists, int64 `(N,)`."""
        code, pixels = self.by_code.indices, self.by_pixels.indices
        return (code[:, :, None] == pixels[:, None, :]).sum((1, 2))

    @property
    def values(self) -> dict[str, float]:
        """Shares over all queries, those of classes over the queries whose class is known."""
        k = self.by_code.indices.shape[1]
        found = {"queries": len(self.queries), "in_both": self.in_both.double().mean().item() / k}
        if not self.known.any():
            return found
        assert self.queries.y is not None
        for name, part in (("code", self.by_code), ("pixels", self.by_pixels)):
            same = self.same_class(part)[self.known].double()
            found[f"same_class_by_{name}"] = same.mean().item()
        chance = [(self.y == label).double().mean() for label in self.queries.y[self.known]]
        found["same_class_by_chance"] = torch.stack(chance).mean().item()
        return found

    def summary(self, of: str) -> str:
        """The values in words."""
        found = {name: f"{100 * value:.0f} %" for name, value in self.values.items()}
        words = [f"{found['in_both']} of neighbours are in both lists"]
        if self.known.any():
            words.append(
                f"{found['same_class_by_code']} by code have the query's class, "
                f"{found['same_class_by_pixels']} by pixels, "
                f"{found['same_class_by_chance']} by chance"
            )
        return f"{of}: {'; '.join(words)}"

    def label(self, index: int, *, by_code: bool) -> str:
        """Of a row."""
        found = self.by_code if by_code else self.by_pixels
        k = found.indices.shape[1]
        lines = ["by code" if by_code else "by pixels"]
        if self.known[index]:
            lines.append(f"{int(self.same_class(found)[index].sum())} of {k} of its class")
        if not by_code:
            lines.append(f"{int(self.in_both[index])} of {k} in both")
        return "\n".join(lines)

    def caption(self, index: int, column: int, found: Found) -> str:
        """Of a neighbour: which image it is, its distance and class."""
        position, distance = found.indices[index, column], found.distances[index, column]
        lines = [f"{int(position)} · {distance:.3g}"]
        if self.y is not None:
            mark = ""
            if self.known[index]:
                mark = " ✓" if self.same_class(found)[index, column] else " ✗"
            lines.append(f"class {int(self.y[position])}{mark}")
        return "\n".join(lines)
