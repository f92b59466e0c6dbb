"""Small images in memory, a classifier of random weights, and subjects made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas.data import ImageData
from ganvas.data.content import combine
from ganvas.evaluation.subject import Options, Subject
from ganvas.models.base import GenerativeModule
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from ganvas.types import ImageShape, Split
from models.tiny import SHAPE

CLASSES = 3


def random_images(num: int, *, seed: int = 0, shape: ImageShape = SHAPE) -> np.ndarray:
    """uint8 `(num, *shape)`, dark on the whole."""
    values = np.random.default_rng(seed).random((num, *shape))
    return (255 * values**2).astype(np.uint8)


@dataclass
class InMemory:
    """A source of given images."""

    train: np.ndarray = field(default_factory=lambda: random_images(60, seed=1))
    test: np.ndarray = field(default_factory=lambda: random_images(40, seed=2))
    num_classes: int = CLASSES

    @property
    def image_shape(self) -> ImageShape:
        return tuple(self.train.shape[1:])  # type: ignore[return-value]

    def count(self, split: Split) -> int:
        return len(self.test if split == "test" else self.train)

    def fingerprint(self) -> str:
        return combine(*(repr(part.tolist()) for part in (self.train, self.test)))

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        images = self.test if split == "test" else self.train
        labels = np.arange(len(images)) % self.num_classes if self.num_classes else None
        return images, labels


def image_data(source: InMemory | None = None, **options: Any) -> ImageData:
    """Prepared, with ten validation images unless told otherwise."""
    options = {"batch_size": 4, "val_size": 10, **options}
    data = ImageData(source or InMemory(), **options)  # type: ignore[arg-type]
    data.prepare()
    return data


def classifier() -> ConvClassifier:
    """The same random weights each time, large enough to tell images apart; no class is a rule."""
    state = torch.get_rng_state()
    torch.manual_seed(3)
    network = ConvClassifier(image_shape=SHAPE, num_classes=CLASSES)
    for parameter in network.parameters():
        parameter.data *= 3
    images = torch.from_numpy(random_images(64)).float() / 255
    network.logits.bias.data -= network(images).mean(0).detach()
    torch.set_rng_state(state)
    return network


def extractor() -> Extractor:
    return Extractor(Frozen(classifier()))


def subject(
    model: GenerativeModule,
    data: ImageData | None = None,
    *,
    split: Split = "test",
    cache_dir: Path | None = None,
    rank: int = 0,
    world_size: int = 1,
    **options: Any,
) -> Subject:
    """Of a model in evaluation mode."""
    return Subject(
        model.eval(),
        data or image_data(),
        split=split,
        options=Options(**options),
        extractor=extractor(),
        cache_dir=cache_dir,
        rank=rank,
        world_size=world_size,
    )
