"""Codes of images from all over a split, for directions and maps of latent space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.latent.scene import Encodings
from ganvas.protocols import Encodes, labels_for
from ganvas.types import Batch

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene
    from ganvas.types import Split


def spread_encodings(scene: Scene, split: Split, *, num: int | None) -> Encodings:
    """Codes of `num` images at even distances in a split, in order; of all where None.

    The first ones would be of few classes where files are sorted by class.

    Raises:
        ValueError: if the split has no image, or a code is not finite.
    """
    there, model = scene.data.counts[split], scene.view.module
    if not there:
        raise ValueError(f"split={split}: {scene.data.name} has no such images; choose another")
    assert isinstance(model, Encodes)

    def encode(batch: Batch) -> dict[str, Tensor]:
        labels = {} if batch.y is None else {"y": batch.y}
        return {"z": model.encode(batch.x, **labels_for(model, batch.y)), **labels}

    num = there if num is None else min(num, there)
    wanted = torch.zeros(there, dtype=torch.bool)
    wanted[torch.arange(num) * there // num] = True
    subject = scene.subject
    found = subject.collect(encode, _only(wanted, subject.batches(split)))
    if not found["z"].isfinite().all():
        raise ValueError(
            "codes must be finite, got NaN or infinite ones: the weights have diverged; choose an "
            "earlier checkpoint"
        )
    return Encodings(found["z"], found.get("y"))


def _only(wanted: Tensor, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The wanted images of the batches of a split; `wanted` is boolean `(N,)`."""
    for batch in batches:
        first = batch.start + batch.offset
        mine = wanted[first : first + len(batch)].to(batch.x.device)
        if mine.any():
            y = None if batch.y is None else batch.y[mine]
            yield replace(batch, x=batch.x[mine], y=y)
