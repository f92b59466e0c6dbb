"""Real images against real images: what distances between them are at these numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganvas.evaluation.kernel import finding
from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.frechet import moments_distance
from ganvas.metrics.kernel import Estimate, kernel_distance
from ganvas.types import Finding, Split

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.reference import Reference
    from ganvas.evaluation.subject import Subject


class FloorMeasure(Measure):
    """Distances of other real images, in the place of samples, from the same reference.

    - `floor_fd_<features>` (`floor_fid` for Inception): Fréchet distance;
    - `floor_kd_<features>` (`floor_kid`): kernel distance over all pairs.

    The reference is that of `fd_<features>`: the first `num` images of the reference split. The
    others are the first `num` of the training split (of the larger other split where training
    images are the reference), all of it where it has fewer, as the protocol tells. Features,
    quantiser and numbers are those of the samples. So this is what a model gets whose samples are
    as good as images that it was trained on: the bias of few images, and what sets the splits
    apart. A distance is to be read by how far it is above; one below it tells no more than one at
    it. Where the others are fewer than the samples, the floor of the Fréchet distance is too high.
    """

    needs_features = True

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model: it is not looked at."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class; the values are kept on disk beside the features."""
        split = other_split(subject)
        num = min(subject.num, subject.data.counts[split])
        reference, other = subject.reference(), subject.reference(split, num=num)
        found = other.kept(f"floor-{reference.key[:32]}", lambda: _distances(reference, other))
        protocol = {
            **subject.sample_protocol(),
            "others": split,
            "num_others": num,
            "other_images": subject.data.content(split, num=num),
        }
        names = {k: f"floor_{named(f'{k}_{{features}}', subject.extractor.name)}" for k in found}
        kernel = Estimate(found["kd"][0], found["kd"][1])
        return {
            names["fd"]: Finding(float(found["fd"]), protocol=protocol),
            names["kd"]: finding(kernel, {**protocol, "pairs": "all"}),
        }


def other_split(subject: Subject) -> Split:
    """The training split, or the larger other one where training images are the reference."""
    if subject.reference_split != "train":
        return "train"
    counts = subject.data.counts
    return "test" if counts["test"] >= counts["val"] else "val"


def _distances(reference: Reference, other: Reference) -> dict[str, Tensor]:
    kernel = kernel_distance(reference.features.vectors, other.features.vectors)
    return {
        "fd": moments_distance(reference.moments, other.moments),
        "kd": torch.stack(kernel),
    }
