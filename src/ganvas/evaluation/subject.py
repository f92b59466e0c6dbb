"""The model that is measured, the images it is measured on, and what both are in features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganvas.data import ImageData
from ganvas.evaluation.order import in_order
from ganvas.evaluation.reference import Reference
from ganvas.nn.extractor import Extractor, quantized, unit
from ganvas.protocols import Conditional, Decodes, Reconstructs, Samples, labels_for
from ganvas.types import Batch, Features, Split, ValueRange

if TYPE_CHECKING:
    from ganvas.models.base import GenerativeModule

BLOCK = 256
"""Images whose noise is drawn together: part of each protocol, whatever the batch size."""

CodesFrom = Callable[[int], Tensor]
"""A prior: from a number to so many codes `(num, Z)`, a function of the evaluation's seed."""


@dataclass(frozen=True)
class Options:
    """How a model is measured.

    Attributes:
        num: samples, and real images that they are compared with; None for all of the split.
        seed: of samples and of the noise in stochastic losses.
        ema: whether averaged weights take the place of raw ones, where there are any.
        quantize: whether images are rounded and clamped to uint8 before features.
        reference: split of the real images that samples are compared with; None for the one
            evaluated.
        batch_size: images at once, of no effect on values.
    """

    num: int | None = None
    seed: int = 0
    ema: bool = True
    quantize: bool = True
    reference: Split | None = None
    batch_size: int = BLOCK


class Subject:
    """A model in evaluation mode and one split of its data, as every measure sees them.

    Images are taken in blocks of 256 by index, and whole blocks are shared among ranks, so that no
    value depends on the number of ranks or on `batch_size`. What is computed of images is kept for
    the measures that come after.

    Args:
        model: on its device.
        data: prepared.
        split: that is evaluated.
        options: of the evaluation.
        extractor: of features, where a measure needs them.
        cache_dir: where statistics of real images are kept; None for in memory only.
        weights_dir: where published weights are.
        prior: codes in the place of the model's own.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        model: GenerativeModule,
        data: ImageData,
        *,
        split: Split,
        options: Options,
        extractor: Extractor | None = None,
        cache_dir: str | Path | None = None,
        weights_dir: str | Path | None = None,
        prior: CodesFrom | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.model, self.data, self.split, self.options = model, data, split, options
        self.rank, self.world_size = rank, world_size
        self._extractor, self._cache_dir, self._prior = extractor, cache_dir, prior
        self.weights_dir = weights_dir
        self._references: dict[tuple[Split, int], Reference] = {}

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.model.device

    @property
    def num(self) -> int:
        """Samples, and real images of the reference split: as asked for, or all there are."""
        there = self.data.counts[self.reference_split]
        return min(self.options.num or there, there)

    @property
    def reference_split(self) -> Split:
        """Of the real images that samples are compared with."""
        return self.options.reference or self.split

    @property
    def extractor(self) -> Extractor:
        """Of features, on the model's device."""
        assert self._extractor is not None
        return self._extractor.to(self.device)

    def protocol(self) -> dict[str, Any]:
        """What must be equal for any two values to be compared."""
        return {
            "dataset": self.data.name,
            "split": self.split,
            "images": self.data.content(self.split),
            "num_images": self.data.counts[self.split],
            "seed": self.options.seed,
            "block": BLOCK,
            "ema": self.options.ema,
            "batch_norm": "eval",
        }

    # Images of the split

    def batches(
        self,
        split: Split | None = None,
        *,
        num: int | None = None,
        value_range: ValueRange | None = None,
        whole: bool = False,
    ) -> Iterator[Batch]:
        """This rank's batches of a split, by index, in the model's value range.

        `start` is the position of a batch's block and `offset` its place therein, so that noise
        drawn for a batch does not depend on the batch size.

        Args:
            split: the one evaluated where None.
            num: only the first so many images.
            value_range: another one than the model's.
            whole: blocks of 256, for values of a batch as a whole.
        """
        split = split or self.split
        num = self.data.counts[split] if num is None else num
        blocks = self.data.loader(
            split,
            value_range=value_range or self.model.value_range,
            seed=self.options.seed,
            device=self.device,
            batch_size=BLOCK,
            in_order=True,
        )
        for index, block in enumerate(blocks):
            size = min(len(block), num - block.start)
            if size <= 0:
                return
            if index % self.world_size == self.rank:
                yield from self._cut(block, size=size, step=BLOCK if whole else None)

    def _cut(self, block: Batch, *, size: int, step: int | None = None) -> Iterator[Batch]:
        step = step or self.options.batch_size
        for offset in range(0, size, step):
            part = slice(offset, min(offset + step, size))
            y = None if block.y is None else block.y[part]
            yield replace(block, x=block.x[part], y=y, offset=offset)

    def collect(
        self, function: Callable[[Batch], Mapping[str, Tensor]], batches: Iterable[Batch]
    ) -> dict[str, Tensor]:
        """Values per image, of all ranks, in the order of the images, on the CPU.

        Args:
            function: from a batch to tensors `(B, …)` by name.
            batches: of this rank.

        Returns:
            Tensors `(N, …)` by name.
        """
        with torch.no_grad():
            mine = [(batch.start + batch.offset, function(batch)) for batch in batches]
        return in_order(mine, world_size=self.world_size)

    # Sets of images: what models make of noise and of images, as metrics see them

    def codes(self, num: int) -> Tensor:
        """Codes `(num, Z)` of the samples."""
        if self._prior is not None:
            return self._prior(num).to(self.device)
        assert isinstance(self.model, Samples)
        return self.model.prior_codes(num, seed=self.options.seed)

    def samples(self, num: int | None = None) -> Iterator[Batch]:
        """This rank's batches of samples, as metrics see images; classes in turn."""
        model, num = self.model, self.num if num is None else num
        assert isinstance(model, Samples | Decodes)
        codes = self.codes(num)
        labels = model.class_labels(num) if isinstance(model, Conditional) else None
        for start in range(self.rank * BLOCK, num, self.world_size * BLOCK):
            block = slice(start, min(start + BLOCK, num))
            y = None if labels is None else labels[block]
            z = Batch(codes[block], y, start=start, total=len(codes[block]))
            for part in self._cut(z, size=len(z)):
                given = labels_for(model, part.y)
                if isinstance(model, Samples):
                    images = model.sample(len(part), noise=part.x, **given)
                else:  # of codes that a prior gives
                    images = model.decode(part.x, **given)
                yield replace(part, x=self.seen(images))

    def reconstructions(self, num: int | None = None) -> Iterator[Batch]:
        """This rank's batches of reconstructed images of the split, as metrics see images."""
        assert isinstance(self.model, Reconstructs)
        for batch in self.batches(num=num):
            made = self.model.reconstruct(batch.x, **labels_for(self.model, batch.y))
            yield replace(batch, x=self.seen(made))

    def seen(self, images: Tensor) -> Tensor:
        """Images of the model as metrics see them: uint8, or floats where nothing is quantised.

        Raises:
            DataError: if the model made NaN or infinite ones.
        """
        low_high = self.model.value_range
        return quantized(images, low_high) if self.quantizes else unit(images, low_high)

    @property
    def quantizes(self) -> bool:
        """Whether images are rounded to uint8 before features: not where the data are floats."""
        return self.options.quantize and self.data.is_quantized

    @cached_property
    def sample_features(self) -> Features:
        """Of `num` samples, in their order, on the CPU."""
        return self.features_of(self.samples())

    @cached_property
    def reconstruction_features(self) -> Features:
        """Of the reconstructions of the first `num` images."""
        return self.features_of(self.reconstructions(min(self.num, self.data.counts[self.split])))

    def features_of(self, batches: Iterable[Batch]) -> Features:
        """Features of images as metrics see them, of all ranks, in their order, on the CPU."""
        found = self.collect(self._extract, batches)
        return Features(found["vectors"], found.get("logits"))

    def _extract(self, batch: Batch) -> dict[str, Tensor]:
        found = self.extractor(batch.x)
        logits = {} if found.logits is None else {"logits": found.logits}
        return {"vectors": found.vectors, **logits}

    def reference(self, split: Split | None = None, *, num: int | None = None) -> Reference:
        """Real images in features, the first `num` of a split; kept on disk.

        Args:
            split: the reference split where None.
            num: `self.num` where None.
        """
        split = split or self.reference_split
        num = min(self.num if num is None else num, self.data.counts[split])
        if (split, num) not in self._references:
            answers = self.extractor.answers(self.data.image_shape)
            content = self.data.content(split, num=num)
            self._references[split, num] = Reference(
                f"{content} quantized={self.quantizes} answers={answers}",
                extractor=self.extractor,
                images=lambda: self._real(split, num),
                folder=None if self._cache_dir is None else Path(self._cache_dir) / "statistics",
            )
        return self._references[split, num]

    def _real(self, split: Split, num: int) -> Iterator[Tensor]:
        """All ranks' images: who computes statistics computes them alone."""
        alone = Subject(self.model, self.data, split=split, options=self.options)
        for batch in alone.batches(split, num=num, value_range=(0.0, 1.0)):
            yield quantized(batch.x, (0.0, 1.0)) if self.quantizes else batch.x

    def sample_protocol(self) -> dict[str, Any]:
        """What must be equal, beside `protocol`, where features of images are compared."""
        return {
            **self.extractor.identity(),
            "num": self.num,
            "reference": self.reference_split,
            "reference_images": self.data.content(self.reference_split, num=self.num),
            "quantizer": "uint8, rounded" if self.quantizes else "none",
        }
