"""Image search: what lies nearest to an image by its code, and by its pixels for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ganvas.latent.hits import Hits, Metric, nearest_codes, without
from ganvas.latent.inputs import images_at
from ganvas.latent.options import at_least, one_of
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.metrics.nearest import Found, search
from ganvas.nn.extractor import quantized, unit
from ganvas.protocols import Conditional, Encodes, HasPosterior
from ganvas.types import Split

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene

SPLITS = {"train": "training", "val": "validation", "test": "test"}
"""In words."""


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
        at_least(1, k=k, num_searched=num_searched, measured=measured, shown=shown)
        self.metric, self.within = one_of("metric", metric, Metric), one_of("within", within, Split)
        self.k = k
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
        shown = images_at(scene.data, self.within, rows.flatten().tolist())
        images = shown.x.unflatten(0, rows.shape)
        first = [None if r % 2 else hits.queries.x[r // 2] for r in range(len(rows))]
        return Sheet(
            f"Image search: the nearest of {hits.num:,} {SPLITS[self.within]} images, by code and "
            "by pixels",
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
            f"beneath {SPLITS[self.within]} images: position · distance, {self.metric} of "
            f"codes{means}, euclidean of pixels in [0, 1]"
        )
        if isinstance(model, Conditional):
            notes.append("the encoder is told the class, so that codes need not hold it")
        if any(p is not None for p in hits.own):
            notes.append("an image of the searched split is no neighbour of itself")
        first = f"the first {len(hits.queries)} images of {scene.request.split}"
        named = f"these {len(hits.queries)} queries"
        notes.append(hits.summary(first if scene.request.images is None else named))
        return notes
