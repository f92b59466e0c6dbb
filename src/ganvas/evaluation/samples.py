"""Samples against real images: their Fréchet distance, and the classes among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.classes import class_entropy, classes_hit, counts_of
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class SampleMeasure(Measure):
    """Fréchet distance of samples from real images, and the classes found among them.

    - `fd_<features>`: the distance (`FrechetDistance`) in the extractor's features. It is called
      `fid` for the Inception network and for no other;
    - `classes_hit`: classes that at least a share of 1 / (10 K) of the samples is put into;
    - `class_entropy`: entropy of the classes of the samples in nats, log K at most.

    The last two are there where the extractor is a classifier of these data.
    """

    needs_features = True
    needs_samples = True
    monitor = "fd_{features}"
    directions: ClassVar[Mapping[str, bool]] = {
        "fd_{features}": False,
        "classes_hit": True,
        "class_entropy": True,
    }

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model that samples can be measured so."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        name, protocol = subject.extractor.name, subject.sample_protocol()
        found = subject.sample_features
        distance = moments_distance(subject.reference().moments, Moments.of(found.vectors))
        values: dict[str, Tensor | float] = {named("fd_{features}", name): distance}
        if found.logits is not None and found.logits.shape[1] == subject.data.num_classes:
            counts = counts_of(found.logits)
            values |= {"classes_hit": classes_hit(counts), "class_entropy": class_entropy(counts)}
        return {name: Finding(float(value), protocol=protocol) for name, value in values.items()}
