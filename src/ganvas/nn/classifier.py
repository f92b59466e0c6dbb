"""A small convolutional classifier, whose layers serve as features."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from ganvas.types import Features, ImageShape

CHANNELS = (16, 32, 48)
HIDDEN = 64
MIN_CLASSES = 2


class ConvClassifier(nn.Sequential):
    """Images `(B, C, H, W)` in [0, 1] to class logits `(B, K)`.

    Three 3×3 convolutions with ReLU, each followed by 2×2 max-pooling, then a dense layer of 64 and
    the logits. No normalisation and no dropout: an image's features depend on that image alone.
    Layers by name: `conv1`, `relu1`, `pool1` … `pool3`, `flatten`, `dense`, `relu4`, `logits`.
    For 1×28×28 and ten classes it has 68,538 weights. One size for all data sets, so that features
    with the same name mean the same; widths are no arguments.

    Args:
        image_shape: (C, H, W), of any size.
        num_classes: K.

    Raises:
        ValueError: if there are fewer than two classes, or no labels.
    """

    def __init__(self, *, image_shape: ImageShape, num_classes: int | None) -> None:
        if num_classes is None or num_classes < MIN_CLASSES:
            raise ValueError(
                f"a classifier needs images with labels of at least {MIN_CLASSES} classes, got "
                f"num_classes={num_classes}; choose a labelled dataset, or another network by "
                "features._target_"
            )
        layers: dict[str, nn.Module] = {}
        channels, height, width = image_shape
        for i, (num_in, num_out) in enumerate(pairwise([channels, *CHANNELS]), start=1):
            layers[f"conv{i}"] = nn.Conv2d(num_in, num_out, 3, padding=1)
            layers[f"relu{i}"] = nn.ReLU()
            layers[f"pool{i}"] = nn.MaxPool2d(2, ceil_mode=True)
            height, width = (height + 1) // 2, (width + 1) // 2
        layers["flatten"] = nn.Flatten()
        layers["dense"] = nn.Linear(CHANNELS[-1] * height * width, HIDDEN)
        layers["relu4"] = nn.ReLU()
        layers["logits"] = nn.Linear(HIDDEN, num_classes)
        super().__init__(OrderedDict(layers))

    name = "classifier"

    def features(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to the activations below the logits, `(B, 64)`."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x

    def extract(self, x: Tensor) -> Features:
        """As `features`, `(B, 64)`, and the logits `(B, K)`."""
        vectors = self.features(x)
        return Features(vectors, self[-1](vectors))
