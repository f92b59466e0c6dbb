"""Samples beside their nearest training images: memorisation at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ganvas.evaluation.memorization import unseen_distances
from ganvas.evaluation.subject import BLOCK
from ganvas.latent.inputs import images_at
from ganvas.latent.options import at_least, within
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import LACKS, Drawing, Tool
from ganvas.metrics.memorization import Memorization, memorization
from ganvas.metrics.nearest import Found, search
from ganvas.nn.extractor import quantized, unit
from ganvas.protocols import Decodes, Samples
from ganvas.types import Batch

if TYPE_CHECKING:
    from ganvas.evaluation.subject import Subject
    from ganvas.latent.scene import Codes, Scene

Row = tuple[Tensor, str, str]
"""An image, its name, and what is said of its nearness."""


class Nearest(Tool):
    """Rows of a sample and its k nearest training images, the most suspicious sample first.

    Distances are those of the chosen `features`. Whether one is small is judged by images of the
    request's split, which the model has not seen, and their distances from their own nearest
    training images; two of them, the nearest and the median one, are shown in the same way.

    Args:
        k: training images beside each sample.
        num: samples that are searched for, and as many unseen images (or all there are).
        num_train: training images that are searched, the first ones; None for all.
        shown: samples in the picture.

    Raises:
        ValueError: for a value out of range.
    """

    needs_features: ClassVar[bool] = True

    def __init__(self, *, k: int, num: int, num_train: int | None, shown: int) -> None:
        at_least(1, k=k, num_train=num_train, shown=shown)
        within("num", num, least=1, most=100_000)
        self.k, self.num, self.num_train, self.shown = k, num, num_train, shown

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Where no image is made."""
        return None if issubclass(model, Samples | Decodes) else LACKS[Decodes]

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        _check(scene)
        codes = scene.noise(self.num)
        images = _samples(scene, codes)
        hits = self._search(scene.subject, images)
        of_class = [""] * self.num if codes.y is None else [f" (class {y})" for y in codes.y]
        first = hits.order[: self.shown]
        rows = [(images[i], f"sample {i}{of_class[i]}", hits.verdict(i)) for i in first]
        return Drawing(
            self._sheet(scene, hits, rows=[*rows, *_unseen_rows(scene, hits)]),
            values=hits.values,
            tensors={
                "codes": codes.z,
                "images": images,
                "nearest": hits.found.indices,
                "distances": hits.found.distances,
                "unseen_distances": hits.unseen,
            },
            inputs=[codes.names[i] for i in first],
            notes=[*codes.notes, *_notes(scene, hits)],
        )

    def _search(self, subject: Subject, images: Tensor) -> Hits:
        """The nearest training images of samples `(N, C, H, W)` and of unseen images.

        Raises:
            ValueError: if fewer than k training images are searched.
        """
        train = subject.reference("train", num=self.num_train or subject.data.counts["train"])
        unseen = subject.reference(subject.split, num=self.num)
        points = train.features.vectors
        if len(points) < self.k:
            raise ValueError(
                f"k={self.k}: only {len(points)} training images are searched; choose a smaller "
                "tool.k, or search more"
            )
        distances = unseen_distances(unseen, train)
        by_distance = distances.sort(stable=True).indices
        examples = list(dict.fromkeys(by_distance[[0, (len(distances) - 1) // 2]].tolist()))
        return Hits(
            num_train=len(points),
            found=search(_features(subject, images), points, k=self.k),
            unseen=distances,
            examples=examples,
            of_examples=search(unseen.features.vectors[examples], points, k=self.k),
        )

    def _sheet(self, scene: Scene, hits: Hits, *, rows: Sequence[Row]) -> Sheet:
        """Samples, then unseen images, each beside its nearest training images."""
        num = len(rows) - len(hits.examples)
        first = hits.order[:num]
        indices = torch.cat([hits.found.indices[first], hits.of_examples.indices])
        distances = torch.cat([hits.found.distances[first], hits.of_examples.distances])
        trained = images_at(scene.data, "train", indices.flatten().tolist())
        beside = trained.x.unflatten(0, indices.shape)
        classes = [""] * len(trained) if trained.y is None else [f"class {y}" for y in trained.y]
        return Sheet(
            f"The {num} of {len(hits.order):,} samples nearest to any of {hits.num_train:,} "
            "training images",
            [[image, *others] for (image, _, _), others in zip(rows, beside, strict=True)],
            row_labels=[verdict for _, _, verdict in rows],
            column_labels=["sample", "nearest", *map(str, range(2, self.k + 1))],
            captions=[
                [
                    name,
                    *(
                        f"{indices[r, c]} · {distances[r, c]:.3g}\n{classes[r * self.k + c]}"
                        for c in range(self.k)
                    ),
                ]
                for r, (_, name, _) in enumerate(rows)
            ],
            marked=frozenset((r, 0) for r in range(num, len(rows))),
            bars=(1,),
        )


@dataclass(frozen=True)
class Hits:
    """What was found.

    Attributes:
        num_train: training images that were searched.
        found: the k nearest of each of N samples.
        unseen: distances of M unseen images from their nearest training image, `(M,)`.
        examples: positions of the unseen images that are shown: the nearest and the median one.
        of_examples: the k nearest of these.
    """

    num_train: int
    found: Found
    unseen: Tensor
    examples: Sequence[int]
    of_examples: Found

    @property
    def distances(self) -> Tensor:
        """Of the samples from their nearest training image, `(N,)`."""
        return self.found.distances[:, 0].contiguous()

    @cached_property
    def order(self) -> list[int]:
        """The samples, the nearest first."""
        return self.distances.sort(stable=True).indices.tolist()

    @cached_property
    def memorization(self) -> Memorization:
        """See `ganvas.metrics.memorization`."""
        return memorization(self.distances, self.unseen)

    def verdict(self, sample: int) -> str:
        """Whether a sample is nearer than unseen images are."""
        share = (self.unseen <= self.distances[sample]).double().mean().item()
        if share == 0:
            return f"nearer than each of\n{len(self.unseen)} unseen images"
        return f"{100 * share:.1f} % of unseen images\nare as near or nearer"

    @property
    def values(self) -> dict[str, float]:
        """Distances from the nearest training image, and what they say together."""
        return {
            "samples": len(self.distances),
            "unseen": len(self.unseen),
            "nearest_sample": self.distances.min().item(),
            "nearest_unseen": self.unseen.min().item(),
            "median_sample": self.distances.quantile(0.5).item(),
            "median_unseen": self.unseen.quantile(0.5).item(),
            "memorization": self.memorization.probability,
            "near_copies": self.memorization.near_copies,
        }


def _check(scene: Scene) -> None:
    """Samples are asked for, and images to judge them by.

    Raises:
        ValueError: if not.
    """
    if scene.request.images not in (None, "random"):
        raise ValueError(
            "images: this tool looks at samples, not at given images; leave images out, or take "
            "tool=neighbours"
        )
    if scene.request.split == "train":
        raise ValueError(
            "split=train: samples are judged by images that were not trained on; choose "
            "split=test or split=val"
        )


def _samples(scene: Scene, codes: Codes) -> Tensor:
    """Images `(N, C, H, W)` in [0, 1] on the CPU."""
    made = []
    with torch.no_grad():
        for start in range(0, len(codes.z), BLOCK):
            z = codes.z[start : start + BLOCK]
            y = None if codes.y is None else codes.y[start : start + BLOCK]
            made.append(scene.view.sample(len(z), noise=z, y=y).cpu())
    return torch.cat(made)


def _features(subject: Subject, images: Tensor) -> Tensor:
    """Of samples as metrics see them, `(N, D)`."""

    def batches() -> Iterator[Batch]:
        for start in range(0, len(images), BLOCK):
            x = images[start : start + BLOCK].to(subject.device)
            seen = quantized(x, (0.0, 1.0)) if subject.quantizes else unit(x, (0.0, 1.0))
            yield Batch(seen, start=start)

    return subject.features_of(batches()).vectors


def _unseen_rows(scene: Scene, hits: Hits) -> list[Row]:
    """The images that samples are judged by."""
    split = scene.request.split
    shown = images_at(scene.data, split, hits.examples)
    which = ["the nearest one", "the median one"]
    return [
        (image, shown.caption(i), f"{which[i]} of\n{len(hits.unseen)} unseen images")
        for i, image in enumerate(shown.x)
    ]


def _notes(scene: Scene, hits: Hits) -> list[str]:
    """What a reader must know."""
    values = hits.values
    chosen = "samples are of the chosen classes, unseen images of all"
    return [
        "beneath training images: position · distance, euclidean in "
        f"features={scene.subject.extractor.name}",
        f"blue: unseen images ({scene.request.split}) beside their nearest training images, to "
        "judge the samples by",
        f"median distance from the nearest training image: {values['median_sample']:.3g} of "
        f"samples, {values['median_unseen']:.3g} of unseen images",
        f"a sample is nearer than an unseen image with probability {values['memorization']:.2f}; "
        "blurred samples may be near without being copies",
        *([] if scene.request.y is None else [chosen]),
    ]
