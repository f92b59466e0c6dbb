"""Scores of codes on images whose factors of variation are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.errors import UnfitError
from ganvas.evaluation.measure import Measure
from ganvas.metrics.dci import dci
from ganvas.metrics.disentanglement import LEAST
from ganvas.metrics.factor_score import factor_score
from ganvas.metrics.mutual_information import mutual_information_gap
from ganvas.protocols import Encodes, HasFactors, labels_for
from ganvas.types import Batch, Finding

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject

MOST_CODES = 512
"""A tree looks through every code at every split: beyond this, scores take hours."""


class DisentanglementMeasure(Measure):
    """MIG, DCI and FactorVAE score of a split's codes (posterior means where there are any).

    - `mig`: `mutual_information_gap`;
    - `dci_disentanglement`, `dci_completeness`, `dci_informativeness`: `dci`;
    - `factor_vae_score`: `factor_score`;
    - each again as `<name>_ceiling`: what codes equal to the factors get, of the same images in
      the same way. It is no bound, but what perfect codes can be expected to get;
    - `dci_informativeness_chance`, `factor_vae_score_chance`: what a guess gets.

    Args:
        num_images: the first so many images of the split; None for all.
        num_bins: of each code, for `mig`.
        num_stages: of boosting, for `dci`.
        train_votes: for `factor_vae_score`, as the next three.
        test_votes: that it is judged by.
        group_size: images that share a factor's value.
        least_std: of a code that takes part.

    Raises:
        ValueError: if `num_images` is under 2.
    """

    directions: ClassVar[Mapping[str, bool]] = {
        "mig": True,
        "dci_disentanglement": True,
        "dci_completeness": True,
        "dci_informativeness": True,
        "factor_vae_score": True,
    }

    def __init__(
        self,
        *,
        num_images: int | None,
        num_bins: int,
        num_stages: int,
        train_votes: int,
        test_votes: int,
        group_size: int,
        least_std: float,
    ) -> None:
        if num_images is not None and num_images < LEAST:
            raise ValueError(f"num_images must be at least {LEAST}, got {num_images}")
        self.num_images = num_images
        self._gap = {"num_bins": num_bins}
        self._dci = {"num_stages": num_stages}
        self._votes: dict[str, Any] = {
            "train_votes": train_votes,
            "test_votes": test_votes,
            "group_size": group_size,
            "least_std": least_std,
        }
        self._ceilings: dict[tuple[Any, ...], dict[str, Finding]] = {}

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where images have no codes, or no known factors."""
        if not issubclass(model, Encodes):
            return "has no encoder"
        if not isinstance(data.source, HasFactors):
            return (
                f"can't be scored on dataset={data.name}, whose factors are not known (those of "
                "sprites and dsprites are)"
            )
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class.

        Raises:
            UnfitError: if a code is wider than trees can be grown on.
        """
        model, data, split = subject.model, subject.data, subject.split
        num = min(self.num_images or data.counts[split], data.counts[split])
        images = {"images": data.content(split, num=num), "num_images": num}
        factors = torch.from_numpy(data.factors(split)[:num])
        found = subject.collect(
            lambda batch: {"codes": _codes(model, batch)}, subject.batches(num=num)
        )
        if (width := found["codes"].shape[1]) > MOST_CODES:
            raise UnfitError(
                f"scores compare single dimensions of the code, at most "
                f"{MOST_CODES}, got {width}; leave disentanglement out"
            )
        seed = subject.options.seed
        key = (images["images"], seed)
        if key not in self._ceilings:  # the same at each validation
            best = self._scores(factors.double(), factors, seed=seed, images=images)
            self._ceilings[key] = {f"{name}_ceiling": best[name] for name in self.directions}
        return self._scores(found["codes"], factors, seed=seed, images=images) | self._ceilings[key]

    def _scores(
        self, codes: Tensor, factors: Tensor, *, seed: int, images: Mapping[str, Any]
    ) -> dict[str, Finding]:
        gap = mutual_information_gap(codes, factors, **self._gap)
        trees = dci(codes, factors, seed=seed, **self._dci)
        votes = factor_score(codes, factors, seed=seed, **self._votes)
        boosted = {**images, **self._dci, "estimator": "gradient-boosted trees of depth 3"}
        voted = {**images, **self._votes}
        return {
            "mig": Finding(gap, protocol={**images, **self._gap}),
            "dci_disentanglement": Finding(trees.disentanglement, protocol=boosted),
            "dci_completeness": Finding(trees.completeness, protocol=boosted),
            "dci_informativeness": Finding(
                trees.informativeness, trees.informativeness_error, boosted
            ),
            "dci_informativeness_chance": Finding(trees.chance, protocol=boosted),
            "factor_vae_score": Finding(votes.accuracy, votes.error, voted),
            "factor_vae_score_chance": Finding(votes.chance, protocol=voted),
        }


def _codes(model: Any, batch: Batch) -> Tensor:
    return model.encode(batch.x, **labels_for(model, batch.y)).flatten(1)
