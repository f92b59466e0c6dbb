"""Reconstructions as a set against real images as a set, in features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.protocols import Reconstructs
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class ReconstructionDistanceMeasure(Measure):
    """`reconstruction_fd_<features>`: Fréchet distance of reconstructions from their own images.

    In the extractor's features, over the first `num` images of the split. The real images are the
    very ones that are reconstructed, whatever split samples are compared with: so it is 0 for a
    perfect model and has no floor that depends on `num`.
    """

    needs_features = True
    directions: ClassVar[Mapping[str, bool]] = {"reconstruction_fd_{features}": False}

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where nothing is reconstructed."""
        del data
        return None if issubclass(model, Reconstructs) else "reconstructs nothing"

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        made = Moments.of(subject.reconstruction_features.vectors, name="reconstructed")
        real = subject.reference(subject.split, num=made.num).moments
        own = {
            "num": made.num,
            "reference": subject.split,
            "reference_images": subject.data.content(subject.split, num=made.num),
        }
        name = named("reconstruction_fd_{features}", subject.extractor.name)
        distance = float(moments_distance(real, made))
        return {name: Finding(distance, protocol={**subject.sample_protocol(), **own})}
