"""Whether samples look real, and whether all that is real is among them, told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.precision_recall import check_k, overlap, radii
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class PrecisionRecallMeasure(Measure):
    """Samples in balls around real images, and the reverse (`ganvas.metrics.precision_recall`).

    - `precision_<features>`: share of samples that lie in a ball around any real image;
    - `recall_<features>`: share of real images that lie in a ball around any sample;
    - `density_<features>`: mean number of real balls that a sample lies in, / k; may exceed 1;
    - `coverage_<features>`: share of real images whose ball has a sample inside.

    Precision and density come with the standard error over draws of samples for these real images.

    Args:
        k: a ball reaches to the k-th nearest neighbour.

    Raises:
        ValueError: if k is below 1; on `measure`, with fewer than k + 1 samples or real images.
    """

    needs_features = True
    needs_samples = True
    directions: ClassVar[Mapping[str, bool]] = {
        f"{name}_{{features}}": True for name in ("precision", "recall", "density", "coverage")
    }

    def __init__(self, *, k: int) -> None:
        self.k = check_k(k)

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model that samples can be measured so."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        k, reference = self.k, subject.reference()
        real = reference.features.vectors
        kept = reference.kept(f"radii-{k}", lambda: {"radii": radii(real, k=k)})
        found = overlap(real, subject.sample_features.vectors, k=k, real_radii=kept["radii"])
        protocol = {**subject.sample_protocol(), "k": k, "balls": "closed"}
        return {
            named(f"{name}_{{features}}", subject.extractor.name): Finding(
                float(value), uncertainty=found.errors.get(name), protocol=protocol
            )
            for name, value in found.values.items()
        }
