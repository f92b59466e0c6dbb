"""Batches by index from uint8 images held in memory, on the device or memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ganvas.data.augment import Augment, augment_batch
from ganvas.data.binarization import Binarization, binarized, evaluation_draws, training_draws
from ganvas.data.order import permutation
from ganvas.types import Batch, ValueRange


@dataclass(frozen=True, slots=True)
class Images:
    """One split, as a loader reads it.

    Attributes:
        pixels: uint8, or float32 in [0, 1], `(N, C, H, W)`, on the device or on the CPU.
        labels: int64 `(N,)` beside the pixels, or None.
        members: int64 `(M,)` on the CPU, the images of this split; None means all of them.
    """

    pixels: Tensor
    labels: Tensor | None
    members: Tensor | None = None

    def __len__(self) -> int:
        return int(self.pixels.shape[0] if self.members is None else self.members.shape[0])


@dataclass(frozen=True, slots=True)
class Share:
    """The part of each global batch that one rank takes.

    Attributes:
        batch_size: of the global batch.
        rank: of this process.
        world_size: number of processes.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1

    @property
    def size(self) -> int:
        """Images per rank in a full batch."""
        return -(-self.batch_size // self.world_size)

    @property
    def offset(self) -> int:
        """Position of this rank's first image within the global batch."""
        return self.rank * self.size


def to_float(pixels: Tensor, *, value_range: ValueRange) -> Tensor:
    """uint8 0..255 to float32: `x / (255 / (high − low)) + low`; floats come from [0, 1] instead.

    That is x / 255 for (0, 1) and x / 127.5 − 1 for (−1, 1). A new tensor is converted to and then
    changed in place, the fastest of the ways tried that divides (a product with 1/255 differs in
    the last bit). Floats may be the data set itself and are never changed in place.
    """
    low, high = value_range
    if pixels.is_floating_point():
        return pixels * (high - low) + low
    scaled = pixels.to(torch.float32).div_(255.0 / (high - low))
    return scaled if low == 0 else scaled.add_(low)


class BatchLoader:
    """Iterates over one split in global batches and yields this rank's part of each.

    Training: the order of an epoch is a permutation drawn from (seed, epoch) by a private
    generator; an incomplete last batch is dropped. `position()`, the number of batches consumed
    so far, is read when iteration starts: epoch = position // len, first batch = position % len,
    so that a run resumed in the middle of an epoch goes on with exactly the batches it misses.
    Evaluation: file order, nothing dropped, padded or augmented, pixels drawn by position in the
    split; a short last batch may leave ranks with no images, but every rank gets the same number
    of batches.

    Args:
        images: the split.
        share: global batch size and this rank's part in it.
        value_range: of the float images, e.g. (0, 1).
        device: where batches are wanted.
        seed: of order, augmentation and binarisation.
        augment: for training images; None or inactive leaves them as they are.
        binarization: of the images, after augmentation; None leaves them grey.
        position: batches consumed so far; None makes this an evaluation loader.
    """

    def __init__(
        self,
        images: Images,
        *,
        share: Share,
        value_range: ValueRange,
        device: torch.device,
        seed: int = 0,
        augment: Augment | None = None,
        binarization: Binarization | None = None,
        position: Callable[[], int] | None = None,
    ) -> None:
        self.images = images
        self.share = share
        self.value_range = value_range
        self.device = device
        self.seed = seed
        self.augment = augment if augment is not None and augment.active else None
        self.binarization = binarization
        self._position = position

    def __len__(self) -> int:
        """Global batches in one epoch, the same on every rank."""
        num, size = len(self.images), self.share.batch_size
        return -(-num // size) if self._position is None else num // size

    def __iter__(self) -> Iterator[Batch]:
        if self._position is None:
            return self._evaluation_batches()
        epoch, first = divmod(self._position(), len(self))
        return self._training_batches(epoch, first=first)

    def batch_images(self, step: int) -> tuple[int, int, list[int]]:
        """What was, or will be, in a training batch: its epoch and position, and its images.

        Args:
            step: number of the batch, from 1, as it is logged.

        Returns:
            Epoch and position, both from 0, and indices into the training split, of all ranks.
        """
        epoch, index = divmod(step - 1, len(self))
        order = permutation(len(self.images), purpose="order", parts=(self.seed, epoch))
        start = index * self.share.batch_size
        return epoch, index, order[start : start + self.share.batch_size].tolist()

    def _training_batches(self, epoch: int, *, first: int) -> Iterator[Batch]:
        order = self._epoch_order(epoch)
        size, offset = self.share.size, self.share.offset
        for index in range(first, len(self)):
            start = index * self.share.batch_size
            chosen = order[start + offset : start + offset + size]
            pixels = self._seen(chosen, step=epoch * len(self) + index)
            labels = self.images.labels
            y = None if labels is None else labels.index_select(0, chosen)
            yield self._batch(pixels, y, start=start, total=self.share.batch_size)

    def _seen(self, chosen: Tensor, *, step: int) -> Tensor:
        """The chosen training images as they are seen at `step`: augmented, then binarised."""
        pixels = self.images.pixels.index_select(0, chosen)
        key = {"seed": self.seed, "step": step}
        cut = {"num_global": self.share.batch_size, "offset": self.share.offset}
        if self.augment is not None:
            pixels = augment_batch(pixels, augment=self.augment, **key, **cut)
        draws = partial(training_draws, pixels, **key, **cut)
        return binarized(pixels, self.binarization, draws=draws)

    def _epoch_order(self, epoch: int) -> Tensor:
        """The epoch's image indices, int64 `(M,)`, beside the pixels."""
        order = permutation(len(self.images), purpose="order", parts=(self.seed, epoch))
        if self.images.members is not None:
            order = self.images.members.index_select(0, order)
        return order.to(self.images.pixels.device)

    def _evaluation_batches(self) -> Iterator[Batch]:
        pixels, labels = self.images.pixels, self.images.labels
        members, num = self.images.members, len(self.images)
        if members is not None:
            members = members.to(pixels.device)
        for start in range(0, num, self.share.batch_size):
            stop = min(start + self.share.batch_size, num)
            low = min(start + self.share.offset, stop)
            mine = slice(low, min(low + self.share.size, stop))
            chosen = mine if members is None else members[mine]
            y = None if labels is None else labels[chosen].clone()
            grey = pixels[chosen]
            draws = partial(evaluation_draws, grey, start=low)
            seen = binarized(grey, self.binarization, draws=draws)
            yield self._batch(seen, y, start=start, total=stop - start)

    def _batch(self, pixels: Tensor, labels: Tensor | None, *, start: int, total: int) -> Batch:
        if pixels.device != self.device:
            pixels = self._move(pixels)
            labels = None if labels is None else self._move(labels)
        x = to_float(pixels, value_range=self.value_range)
        return Batch(x=x, y=labels, start=start, offset=self.share.offset, total=total)

    def _move(self, tensor: Tensor) -> Tensor:
        """A copy on the device, from pinned memory where the device can take it unawaited."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


_DEVICE_SHARE = 4
"""A split moves to the device if it takes at most 1/4 of the free memory there."""


def fits_on(device: torch.device, num_bytes: int) -> bool:
    """Whether a split of so many bytes may live on the device."""
    if device.type != "cuda":
        return device.type == "cpu"
    return num_bytes * _DEVICE_SHARE <= torch.cuda.mem_get_info(device)[0]


def pixel_hash(images: Images, *, num: int | None = None) -> str:
    """SHA-256 of the first `num` images of a split, in their order, with shape and number type."""
    pixels = images.pixels if images.members is None else images.pixels[images.members[:num]]
    kept = pixels[:num].contiguous()
    digest = hashlib.sha256(f"{tuple(kept.shape)} {kept.dtype}".encode())
    digest.update(kept.numpy().data)
    return digest.hexdigest()
