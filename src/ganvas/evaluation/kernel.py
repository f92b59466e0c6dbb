"""Samples against real images: their kernel distance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.kernel import Estimate, check_subsets, kernel_distance, subset_distance
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class KernelMeasure(Measure):
    """Kernel distance of samples from real images in the extractor's features (`KernelDistance`).

    - `kd_<features>`, called `kid` for the Inception network and for no other. Over all pairs of
      images its uncertainty is over new samples and new real images; over subsets it is that of
      their mean.

    Args:
        num_subsets: of the mean over random subsets, as others report it; None for all pairs.
        subset_size: images of either kind in each subset.

    Raises:
        ValueError: if there are no subsets, or of one image.
    """

    needs_features = True
    needs_samples = True
    directions: ClassVar[Mapping[str, bool]] = {"kd_{features}": False}

    def __init__(self, *, num_subsets: int | None = None, subset_size: int = 1000) -> None:
        check_subsets(num_subsets, subset_size)
        self.num_subsets, self.subset_size = num_subsets, subset_size

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model that samples can be measured so."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        real, fake = subject.reference().features.vectors, subject.sample_features.vectors
        protocol: dict[str, Any] = {**subject.sample_protocol(), "pairs": "all"}
        if self.num_subsets is None:
            found = kernel_distance(real, fake)
        else:
            num, size, seed = self.num_subsets, self.subset_size, subject.options.seed
            found = subset_distance(real, fake, num=num, size=size, seed=seed)
            protocol |= {"pairs": "subsets", "num_subsets": num, "subset_size": size}
        return {named("kd_{features}", subject.extractor.name): finding(found, protocol)}


def finding(found: Estimate, protocol: Mapping[str, Any]) -> Finding:
    """An estimate as a result."""
    value, error = (float(x) for x in found)
    return Finding(value, None if math.isnan(error) else error, protocol)
