"""The losses of a split: what the model reports in validation, over all images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ganvas.evaluation.likelihood import log_prob_of
from ganvas.evaluation.measure import Measure
from ganvas.evaluation.order import in_order
from ganvas.protocols import HasLikelihood
from ganvas.types import Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject


class LossMeasure(Measure):
    """Means over all images of what the model reports of a batch: its losses and their parts.

    Some are of a batch as a whole, such as the MMD of a WAE: batches are whole blocks of 256,
    whatever the batch size. Where log p(x|z) is in a loss, its protocol says what that is of.
    """

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Every model has losses."""
        del model, data
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """Means weighted by the size of each batch, summed in float64 in the order of images."""
        model, mine = subject.model, []
        with torch.no_grad():
            for batch in subject.batches(whole=True):
                parts = {**model.evaluation_parts(batch), **model.reconstruction_parts(batch)}
                rows = {k: v.double().view(1) * len(batch) for k, v in parts.items()}
                mine.append((batch.start + batch.offset, rows))
        sums = in_order(mine, world_size=subject.world_size)
        num = subject.data.counts[subject.split]
        unit: dict[str, Any] = {}
        if isinstance(model, HasLikelihood):
            unit["log_prob"] = log_prob_of(model, subject.data)
        shared = "reconstruction_mse"  # the one error of all families, with or without p(x|z)
        return {
            name: Finding(float(rows.sum()) / num, protocol={} if name == shared else unit)
            for name, rows in sums.items()
        }
