"""How much of the labels a linear classifier reads off the codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganvas.data.order import permutation
from ganvas.errors import UnfitError
from ganvas.evaluation.measure import Measure
from ganvas.metrics.probe import binomial_error, linear_probe, majority_accuracy
from ganvas.nn.extractor import unit
from ganvas.protocols import Encodes
from ganvas.types import Batch, Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


@runtime_checkable
class _KnowsClasses(Protocol):
    """`Conditional`, which has an attribute, so that classes can't be asked for it."""

    def class_labels(self, num: int) -> Tensor:
        """See `Conditional`."""


class ProbeMeasure(Measure):
    """Accuracy of multinomial logistic regression on the codes: their value as pretraining.

    - `probe_accuracy`: on codes of the split, fitted on codes of training images;
    - `probe_accuracy_pixels`: the same on raw pixels, the least that codes should reach;
    - `probe_accuracy_majority`: of always naming the most frequent class.

    Codes are `encode(x)`, means of the posterior where there is one. Training images are a random
    part, drawn by the evaluation's seed. Standard errors are those of N test images; what another
    training of the model would change is not in them. See `linear_probe`.

    Args:
        num_train: training images to fit on, at most.
        inverse_penalties: values of C to choose from, for codes and for pixels alike.
        pixels: whether raw pixels are probed too.

    Raises:
        ValueError: if a number is not positive, or there is no C.
    """

    directions: ClassVar[Mapping[str, bool]] = {"probe_accuracy": True}

    def __init__(self, *, num_train: int, inverse_penalties: Sequence[float], pixels: bool) -> None:
        if num_train < 1:
            raise ValueError(f"num_train must be at least 1, got {num_train}")
        if not inverse_penalties or min(inverse_penalties) <= 0:
            raise ValueError(
                f"inverse_penalties must be one or more positive numbers, got {inverse_penalties}"
            )
        self.num_train, self.pixels = num_train, pixels
        self.inverse_penalties = list(inverse_penalties)
        self._baselines: dict[str, float] = {}

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where there are no codes or no labels, or the encoder is told the label."""
        if not issubclass(model, Encodes):
            return "has no encoder"
        if issubclass(model, _KnowsClasses):
            return "tells its encoder the label, so that a probe would only read it back"
        if data.source.num_classes == 0:
            return f"can't be probed: {data.name} has no labels"
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class.

        Raises:
            UnfitError: for training images, which the probe is fitted on, or without labels.
        """
        if subject.split == "train":
            raise UnfitError(
                "split=train: the probe is fitted on training images and can't be tested on them;"
                " choose split=test or split=val, or leave probe out"
            )
        if subject.data.num_classes is None:
            raise UnfitError(f"{subject.data.name} has no labels; leave probe out")
        data, num = subject.data, min(self.num_train, subject.data.counts["train"])
        protocol = {
            "train_images": data.content("train"),
            "num_train": num,
            "inverse_penalties": self.inverse_penalties,
        }
        train, test = _labelled(subject, _codes, num=num)
        found = {"probe_accuracy": self._accuracy(train, test)}
        if self.pixels:
            key = f"{protocol} {subject.protocol()}"
            if key not in self._baselines:  # in training it is the same at each validation
                self._baselines[key] = self._accuracy(*_labelled(subject, _pixels, num=num))
            found["probe_accuracy_pixels"] = self._baselines[key]
        labels = (part["labels"].numpy() for part in (train, test))
        found["probe_accuracy_majority"] = majority_accuracy(*labels)
        num_test = len(test["labels"])
        return {
            name: Finding(value, binomial_error(value, num_test), protocol)
            for name, value in found.items()
        }

    def _accuracy(self, train: Mapping[str, Tensor], test: Mapping[str, Tensor]) -> float:
        return linear_probe(
            train["inputs"].numpy(),
            train["labels"].numpy(),
            test_inputs=test["inputs"].numpy(),
            test_labels=test["labels"].numpy(),
            inverse_penalties=self.inverse_penalties,
        )


Inputs = Callable[[Any, Batch], Tensor]
"""From a model and a batch to what is probed, `(B, D)`."""


def _codes(model: Any, batch: Batch) -> Tensor:
    return model.encode(batch.x).flatten(1)


def _pixels(model: Any, batch: Batch) -> Tensor:
    return unit(batch.x, model.value_range).flatten(1)


def _labelled(subject: Subject, inputs: Inputs, *, num: int) -> list[dict[str, Tensor]]:
    """Inputs and labels of `num` training images and of the split."""

    def both(batch: Batch) -> dict[str, Tensor]:
        assert batch.y is not None
        return {"inputs": inputs(subject.model, batch), "labels": batch.y}

    total = subject.data.counts["train"]
    order = permutation(total, purpose="probe", parts=(subject.options.seed,))
    chosen = torch.zeros(total, dtype=torch.bool)
    chosen[order[:num]] = True
    parts = (_only(chosen, subject.batches("train")), subject.batches())
    return [subject.collect(both, batches) for batches in parts]


def _only(chosen: Tensor, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The chosen images of the batches of a split; `chosen` is boolean `(N,)`."""
    for batch in batches:
        first = batch.start + batch.offset
        mine = chosen[first : first + len(batch)].to(batch.x.device)
        if batch.y is not None and mine.any():
            yield replace(batch, x=batch.x[mine], y=batch.y[mine])
