"""The feature autoencoder of a data set without labels: trained by one fixed recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ganvas.data import ImageData
from ganvas.engine.recipe import SEED, Tested, Trained, fit, train_once
from ganvas.nn.bottleneck import CODE, Bottleneck, code_channels
from ganvas.nn.conv import ConvDecoder
from ganvas.types import Batch, Split

RECIPE = 1
"""Part of every key: raise it when the network or its training changes."""

STEPS = 500
LEARNING_RATE = 2e-3
NUM_WHITENED = 10_000
"""Training images, at most, that say how codes are spread."""


def train_autoencoder(data: ImageData, *, cache_dir: str | Path) -> Trained:
    """The encoder after 500 batches of 128 of every training image, whitened; as `train_once`.

    It minimises the mean squared error of pixels.

    Raises:
        DataError: if the images can't be read.
        ValueError: if they are too small, or points of the plane.
    """
    return train_once(_autoencoder, data, cache_dir=cache_dir)


def _autoencoder(images: ImageData) -> tuple[Bottleneck, Tested]:
    shape = images.image_shape
    network = Bottleneck(image_shape=shape)
    decoder = ConvDecoder(num_inputs=CODE, image_shape=shape, channels=code_channels(shape))
    both = nn.Sequential(network.encoder, decoder)

    def errors(x: Tensor) -> Tensor:
        return (both(x) - x).square().flatten(1).mean(1)

    def loss(batch: Batch) -> Tensor:
        return errors(batch.x).mean()

    fit(both, images, loss, steps=STEPS, learning_rate=LEARNING_RATE)
    with torch.no_grad():
        network.whiten(_over(network.encoder, images, "train", num=NUM_WHITENED))
    num = images.counts["test"]
    error = float(_over(errors, images, "test", num=num).mean()) if num else None
    summary = "not tested, there are no test images"
    if error is not None:
        summary = f"mean squared error of a pixel {error:.2g} on {num:,} test images"
    return network, Tested({"mse": error, "test_images": num}, summary)


@torch.no_grad()
def _over(
    function: Callable[[Tensor], Tensor], images: ImageData, split: Split, *, num: int
) -> Tensor:
    """What a function makes of the first `num` images of a fixed order, `(N, …)`."""
    found, seen = [], 0
    size = min(500, images.counts[split])
    for batch in images.loader(split, value_range=(0, 1), seed=SEED, batch_size=size):
        found.append(function(batch.x))
        seen += len(batch.x)
        if seen >= num:
            break
    return torch.cat(found)[:num]
