"""Whether samples are copies of training images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ganvas.errors import UnfitError
from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.memorization import TAIL, memorization
from ganvas.metrics.nearest import nearest
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.reference import Reference
    from ganvas.evaluation.subject import Subject


def unseen_distances(unseen: Reference, train: Reference) -> Tensor:
    """Of each unseen image from its nearest training image, float64 `(M,)`; kept on disk."""

    def distances() -> dict[str, Tensor]:
        found = nearest(unseen.features.vectors, train.features.vectors, k=1)
        return {"distances": found[:, 0]}

    return unseen.kept(f"nearest-{train.key[:32]}", distances)["distances"]


class MemorizationMeasure(Measure):
    """Distances of samples from training images against those of images never trained on.

    Of each sample, and of each of as many images of the evaluated split, the distance from the
    nearest training image is found in the extractor's features. `ganvas.metrics.memorization`
    defines what is made of them:

    - `memorization_<features>`: probability that a sample is nearer than an unseen image; 0.5 if
      nothing is copied, 1 if everything is;
    - `memorization_ratio_<features>`: of the median distances; 1 if nothing is copied, 0 if
      everything is;
    - `near_copies_<features>`: share of samples as near as the nearest hundredth of the unseen
      images; about 0.01 if nothing is copied (more of few images), 1 if everything is.

    Args:
        num_train: training images that are searched, the first ones; None for all.

    Raises:
        ValueError: if no training image is to be searched.
        UnfitError: on `measure`, if the evaluated split is the one that was trained on.
    """

    needs_features = True
    needs_samples = True
    directions: ClassVar[Mapping[str, bool]] = {"near_copies_{features}": False}

    def __init__(self, *, num_train: int | None) -> None:
        if num_train is not None and num_train < 1:
            raise ValueError(f"num_train must be null or at least 1, got {num_train}")
        self.num_train = num_train

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model that samples can be measured so."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        if subject.split == "train":
            raise UnfitError(
                "split=train: memorisation shows against images that were "
                "not trained on; choose split=test or split=val"
            )
        there = subject.data.counts["train"]
        num = min(self.num_train or there, there)
        train, unseen = subject.reference("train", num=num), subject.reference(subject.split)
        samples = nearest(subject.sample_features.vectors, train.features.vectors, k=1)[:, 0]
        found = memorization(samples, unseen_distances(unseen, train))
        protocol = {
            **subject.sample_protocol(),
            "num_train": num,
            "train_images": subject.data.content("train", num=num),
        }
        values = {
            "memorization_{features}": Finding(
                found.probability, uncertainty=found.probability_error, protocol=protocol
            ),
            "memorization_ratio_{features}": Finding(found.ratio, protocol=protocol),
            "near_copies_{features}": Finding(
                found.near_copies, protocol={**protocol, "tail": TAIL}
            ),
        }
        return {named(name, subject.extractor.name): value for name, value in values.items()}
