"""What every measure promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject
    from ganvas.types import Finding


class Measure(ABC):
    """Abstract: finds values of a model on a split of its data.

    Attributes:
        needs_features: whether it looks at images through the extractor.
        needs_samples: whether it looks at samples; what draws them is no business of `unfit`.
        needs_classes: whether the extractor must know classes.
        monitor: the value that selects the best checkpoint of a model that has no monitor of its
            own, or None; `{features}` in it stands for the extractor's name, as in all names.
        directions: whether higher is better, by name; a name without a direction is left out.
    """

    needs_features: ClassVar[bool] = False
    needs_samples: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False
    monitor: ClassVar[str | None] = None
    directions: ClassVar[Mapping[str, bool]] = {}

    @abstractmethod
    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Why models of this class, or these data, can't be measured so, with a remedy; or None."""

    @abstractmethod
    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """Findings by name, the same on every rank.

        Raises:
            UnfitError: if it can't be taken on this split, or through this extractor.
        """


def named(template: str, features: str | None) -> str:
    """A name with the extractor's in it, e.g. `fd_classifier`; of Inception, the usual ones."""
    usual = USUAL_NAMES.get(template) if features == "inception" else None
    return usual or template.format(features=features)


USUAL_NAMES = {
    "fd_{features}": "fid",
    "kd_{features}": "kid",
    "score_{features}": "inception_score",
}
"""What the field calls these in the features of Inception, and only there."""
