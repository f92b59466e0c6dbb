"""The Inception-score analogue: how sure and how varied a classifier finds the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from ganvas.errors import UnfitError
from ganvas.evaluation.measure import Measure, named
from ganvas.metrics.score import class_score
from ganvas.types import Features, Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class ScoreMeasure(Measure):
    """exp(E KL(p(y|x) ‖ p(y))) of the extractor's classes (`ganvas.metrics.score`).

    - `score_<features>`: of the samples, from 1 to the number of classes. It is called
      `inception_score` for the Inception network and for no other;
    - `real_score_<features>`: of the real images of the reference split, for comparison.

    Args:
        splits: equal parts whose scores are averaged; 1 for one score of all images.

    Raises:
        ValueError: if there is no split; on `measure`, with fewer than two images in one.
        UnfitError: on `measure`, if the extractor knows no classes.
    """

    needs_features = True
    needs_samples = True
    needs_classes = True
    directions: ClassVar[Mapping[str, bool]] = {"score_{features}": True}

    def __init__(self, *, splits: int) -> None:
        if splits < 1:
            raise ValueError(f"splits must be at least 1, got {splits}")
        self.splits = splits

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Whether the extractor knows classes shows later."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class."""
        name = subject.extractor.name
        logits = {
            "score_{features}": _logits(subject.sample_features, name),
            "real_score_{features}": _logits(subject.reference().features, name),
        }
        protocol = {**subject.sample_protocol(), "splits": self.splits}
        scores = {key: class_score(value, splits=self.splits) for key, value in logits.items()}
        return {
            named(key, name): Finding(score.value, uncertainty=score.error, protocol=protocol)
            for key, score in scores.items()
        }


def _logits(features: Features, name: str) -> Tensor:
    if features.logits is None:
        raise UnfitError(
            f"features={name} know no classes; choose features that do, such as "
            "features=classifier, or leave score out"
        )
    return features.logits
