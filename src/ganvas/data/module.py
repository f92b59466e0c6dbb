"""`ImageData`: the decoded, split and batched images of one data set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.data.augment import parse_augment
from ganvas.data.binarization import check_binarizable, checked_binarization
from ganvas.data.content import Decoded, ReadsTolerantly, combine, source_fingerprint
from ganvas.data.factors import split_factors
from ganvas.data.loader import BatchLoader, Images, Share, fits_on, pixel_hash
from ganvas.data.options import check_divisible, checked_size, whole
from ganvas.data.order import permutation, share
from ganvas.data.store import DECODE_VERSION, Store, StoredSplit, open_store
from ganvas.errors import ConfigError, DataError
from ganvas.protocols import ImageSource
from ganvas.types import ImageShape, Split, ValueRange

_log = logging.getLogger(__name__)


class ImageData:
    """Images of one source, decoded once, split honestly and batched by index.

    Validation images are a part of *train* chosen by `split_seed`; the test split is the
    source's own and is never mixed in. Constructing reads no file; `prepare` does.

    Args:
        source: where the images come from.
        batch_size: of the global batch, over all ranks.
        split_seed: of the choice of validation images (and of those that `max_train` keeps).
        val_size: validation images, a count or a fraction of train in (0, 1); 0 for none.
        on_error: "raise", or "skip" to leave out unreadable files, counted in `skipped`.
        augment: `{flip, crop_padding}` for training batches, see `Augment`.
        binarization: "dynamic" or "threshold", see `Binarization`; None leaves images grey.
        max_train: at most this many training images; None for all.
        cache_dir: where decoded images are kept; None keeps them in memory only.
        name: of the data set, for messages.

    Raises:
        ConfigError: a value out of range, by its key.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        batch_size: int,
        split_seed: int = 0,
        val_size: float = 0,
        on_error: str = "raise",
        augment: Mapping[str, Any] | None = None,
        binarization: str | None = None,
        max_train: int | None = None,
        cache_dir: str | Path | None = None,
        name: str = "dataset",
    ) -> None:
        self.source = source
        self.batch_size = whole("batch_size", batch_size, least=1)
        self.split_seed = whole("split_seed", split_seed, least=0)
        self.val_size = checked_size("val_size", val_size)
        self.max_train = None if max_train is None else whole("max_train", max_train, least=1)
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"dataset.on_error: must be raise or skip, got {on_error!r}")
        self.on_error = on_error
        self.augment = parse_augment(augment)
        self.binarization = checked_binarization(binarization)
        self.name = name
        self._cache = None if cache_dir is None else Path(cache_dir).expanduser() / "datasets"
        self._store: Store | None = None
        self._members: dict[Split, Tensor | None] = {}
        self._contents: dict[tuple[Split, int | None], str] = {}
        self._on_device: dict[tuple[StoredSplit, torch.device], tuple[Tensor, Tensor | None]] = {}

    @property
    def image_shape(self) -> ImageShape:
        """(channels, height, width) of every image."""
        return self.source.image_shape

    @property
    def num_classes(self) -> int | None:
        """Number of classes, or None for unlabelled data (or labels not read before `prepare`)."""
        declared = self.source.num_classes
        found = self._store.num_classes if declared is None and self._store else declared
        return found or None

    @property
    def num_train(self) -> int | None:
        """Training images after the split; None where only `prepare` can tell."""
        if self._store is not None:
            return self.counts["train"]
        total = self.source.count("train")
        return None if total is None else self._num_train(total)

    def steps_per_epoch(self) -> int | None:
        """Training batches in one epoch; None where only `prepare` can tell."""
        num = self.num_train
        return None if num is None else num // self.batch_size

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the decoded images: the raw content and everything done to it.

        Splits, batches, augmentation and binarisation are not part of it (the config has them).
        """
        memo = None if self._cache is None else self._cache / "hashes"
        content = source_fingerprint(self.source, memo_dir=memo)
        return combine(content, str(self.image_shape), f"decode {DECODE_VERSION}")

    @property
    def counts(self) -> dict[Split, int]:
        """Images in train, val and test after the split; needs `prepare`."""
        store = self._prepared()
        train = len(store.train.images)
        return {
            "train": self._num_train(train),
            "val": share(self.val_size, num=train),
            "test": len(store.test.images),
        }

    @property
    def skipped(self) -> int:
        """Unreadable files left out under `on_error=skip`; needs `prepare`."""
        return len(self._prepared().skipped)

    def prepare(self, world_size: int = 1) -> None:
        """Open the decoded images, decoding them first where needed, and check the sizes.

        Any number of processes may do so at once: one decodes and the others wait.

        Args:
            world_size: number of ranks that share each batch.

        Raises:
            DataError: files missing or bad, or too few images.
            ConfigError: a batch that can't be shared among the ranks.
        """
        check_divisible(self.batch_size, world_size)
        parse_augment(
            {"flip": self.augment.flip, "crop_padding": self.augment.crop_padding},
            side=min(self.image_shape[1:]),
        )
        if self._store is None:
            self._store = self._open()
        counts = self.counts
        if self.val_size and counts["val"] == 0:
            raise DataError(
                f"dataset.val_size={self.val_size:g} of {len(self._store.train.images)} training "
                "images is none; choose a larger size, or 0 for no validation split"
            )
        if self.batch_size > counts["train"]:
            raise DataError(
                f"dataset.batch_size={self.batch_size} is more than the {counts['train']} training "
                f"images of {self.name}; choose a smaller batch_size"
            )

    def loader(
        self,
        split: Split,
        *,
        value_range: ValueRange,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
        position: Callable[[], int] = lambda: 0,
        batch_size: int | None = None,
        in_order: bool = False,
    ) -> BatchLoader:
        """Batches of one split; needs `prepare`.

        Args:
            split: "train", "val" or "test".
            value_range: of the float images.
            seed: of order, augmentation and binarisation; of no effect on val and test.
            rank: of this process.
            world_size: number of processes.
            device: where the batches are wanted.
            position: training batches consumed so far, read when iteration starts.
            batch_size: global; that of the config where None.
            in_order: train images too as they are: all, in order, without augmentation.

        Raises:
            DataError: the split has no images.
            ConfigError: batch or value range impossible.
        """
        if self.counts[split] == 0:
            remedy = "set dataset.val_size" if split == "val" else "give the source a test split"
            raise DataError(f"{self.name} has no {split} images; {remedy}")
        if not value_range[0] < value_range[1]:
            raise ConfigError(f"value_range: low must be below high, got {value_range}")
        size = self.batch_size if batch_size is None else whole("batch_size", batch_size, least=1)
        training = split == "train" and not in_order
        if training:
            check_divisible(size, world_size)
        target = torch.empty(0, device=device).device  # "cuda" becomes "cuda:0"
        return BatchLoader(
            self._images(split, device=target),
            share=Share(batch_size=size, rank=rank, world_size=world_size),
            value_range=value_range,
            device=target,
            seed=seed,
            augment=self.augment if training else None,
            binarization=self.binarization,
            position=position if training else None,
        )

    @property
    def is_quantized(self) -> bool:
        """Whether the images are held in 8 bits; needs `prepare`."""
        return self._prepared().train.images.dtype == np.uint8

    def content(self, split: Split, *, num: int | None = None) -> str:
        """Hash of the first `num` images of a split, as evaluation sees them; needs `prepare`."""
        if (split, num) not in self._contents:  # asked for with each result
            pixels = pixel_hash(self._images(split, device=torch.device("cpu")), num=num)
            self._contents[split, num] = combine(pixels, repr(self.binarization))
        return self._contents[split, num]

    def factors(self, split: Split) -> np.ndarray:
        """Known factors `(N, F)` of a split's images, in evaluation order; needs `prepare`."""
        members = self._split_members(split)
        return split_factors(self.source, split=split, members=members, name=self.name)

    def _open(self) -> Store:
        lenient = self.on_error == "skip"
        folder = None
        if self._cache is not None:
            # a store with gaps must not be found by a run that was told to refuse them
            folder = self._cache / (self.fingerprint[:32] + ("-skip" if lenient else ""))
        store = open_store(folder, image_shape=self.image_shape, decode=self._decode)
        if store.skipped:
            shown = " | ".join(store.skipped[:3])
            _log.warning("%s: %d files skipped, first: %s", self.name, len(store.skipped), shown)
        if len(store.train.images) == 0:
            raise DataError(f"{self.name} has no training images; check dataset.source")
        check_binarizable(store.train.images, self.binarization)
        return store

    def _decode(self, split: StoredSplit) -> Decoded:
        if self.on_error == "skip" and isinstance(self.source, ReadsTolerantly):
            return self.source.read_valid(split)
        images, labels = self.source.read(split)
        return Decoded(images=images, labels=labels)

    def _prepared(self) -> Store:
        if self._store is None:
            raise RuntimeError("call prepare() first")
        return self._store

    def _num_train(self, total: int) -> int:
        num_val = share(self.val_size, num=total)
        if num_val >= total:
            raise DataError(
                f"dataset.val_size={self.val_size:g} leaves nothing of {total} training images; "
                "choose a smaller one"
            )
        left = total - num_val
        return left if self.max_train is None else min(left, self.max_train)

    def _split_members(self, split: Split) -> Tensor | None:
        """Sorted indices of a split into the source's training images; None means all."""
        counts, total = self.counts, len(self._prepared().train.images)
        if split == "test" or counts["train"] == total:
            return None
        order = permutation(total, purpose="split", parts=(self.split_seed,))
        val, rest = order[: counts["val"]], order[counts["val"] :]
        return (rest[: counts["train"]] if split == "train" else val).sort().values

    def _images(self, split: Split, *, device: torch.device) -> Images:
        if split not in self._members:
            self._members[split] = self._split_members(split)
        pixels, labels = self._tensors("test" if split == "test" else "train", device=device)
        return Images(pixels=pixels, labels=labels, members=self._members[split])

    def _tensors(self, split: StoredSplit, *, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Pixels and labels, on the device where they fit, else on the CPU; moved once."""
        key = (split, device)
        if key not in self._on_device:
            store = self._prepared()
            stored = store.test if split == "test" else store.train
            place = device if fits_on(device, stored.images.nbytes) else torch.device("cpu")
            labels = stored.labels
            self._on_device[key] = (
                torch.from_numpy(stored.images).to(place),
                None if labels is None else torch.from_numpy(labels).to(place),
            )
        return self._on_device[key]
