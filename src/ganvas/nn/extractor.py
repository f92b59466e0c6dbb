"""From images, as metrics see them, to features."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import ConfigError, DataError
from ganvas.nn.frozen import Frozen, as_vectors
from ganvas.nn.noise import keyed_normal
from ganvas.protocols import Extracts, Transforms
from ganvas.types import Features, ImageShape

IMAGE_DIMS = 4
PUBLISHED = ("ganvas", "torch", "torchvision", "torch_fidelity")
"""Packages whose networks are known by their names."""


class Extractor(nn.Module):
    """A frozen network that turns images into features.

    A network that `Extracts` says itself what its features are; of any other one they are the
    output, flattened.

    Args:
        network: any network, frozen; it gets float images in [0, 1].
        layer: whose output takes the place of the network's own features.
        arguments: that the network was made with, where there are any: part of its identity.

    Attributes:
        knows_classes: whether the network does; None before it has seen an image.

    Raises:
        ValueError: if there is no such layer.
    """

    def __init__(
        self,
        network: Frozen,
        *,
        layer: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if all(weights.ndim <= IMAGE_DIMS for weights in network.parameters()):
            network.to(memory_format=torch.channels_last)
        self.network, self.layer = network, layer
        self.at_layer = None if layer is None else network.layers([layer])
        self.knows_classes: bool | None = None
        self._arguments = dict(arguments or {})
        self._width: int | None = None
        self._hashed: tuple[Any, str] | None = None

    @property
    def name(self) -> str:
        """What distances in these features are called by: the network, and a layer if chosen."""
        inner = self.network.network
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(inner).__name__).lower()
        if isinstance(inner, Extracts):
            name = inner.name
        return name if self.layer is None else f"{name}_{self.layer.replace('.', '_')}"

    def forward(self, images: Tensor) -> Features:
        """uint8 images `(B, C, H, W)`, or floats in [0, 1], to features `(B, D)`.

        Raises:
            ConfigError: if they are no such tensor, or of another width than those before.
            DataError: if they are NaN or infinite.
        """
        x = images if images.is_floating_point() else images.float() / 255
        if x.ndim == IMAGE_DIMS:  # on a CPU more than twice as fast for few channels
            x = x.contiguous(memory_format=torch.channels_last)
        found = self._features(x)
        self.knows_classes = found.logits is not None
        if not found.vectors.is_meta:
            self._check(found.vectors)
        return found

    def _features(self, x: Tensor) -> Features:
        if self.at_layer is None:
            return self.network.extract(x)
        output = self.at_layer(x)[self.layer]
        vectors = as_vectors(output, num=len(x), source=f"layer {self.layer}")
        if isinstance(self.network.network, Extracts):  # it may know classes
            return Features(vectors, self.network.extract(x).logits)
        return Features(vectors)

    def _check(self, vectors: Tensor) -> None:
        width = vectors.shape[1]
        self._width = self._width or width
        if width != self._width:
            raise ConfigError(
                f"features: {self.name} must give as many features for all images, got "
                f"{self._width} for some and {width} for others; choose another layer or network"
            )
        if not vectors.isfinite().all():
            raise DataError(
                f"{self.name} gave NaN or infinite features; choose another network of features"
            )

    def identity(self) -> dict[str, Any]:
        """What must be equal for two values to be compared.

        Beside the weights' hash, as far as there are any: how the network transforms images, the
        arguments that made it, and the hash of the files with a user's own code.
        """
        inner = self.network.network
        found: dict[str, Any] = {
            "extractor": type(inner).__name__,
            "layer": self.layer,
            "weights": self._weights_hash(),
        }
        if isinstance(inner, Transforms):
            found["transform"] = inner.transform
        if self._arguments:
            found["arguments"] = self._arguments
        if (code := code_hash(inner)) is not None:
            found["code"] = code
        return found

    @torch.no_grad()
    def answers(self, image_shape: ImageShape) -> str | None:
        """SHA-256 of the features of two fixed images, to the bit; None for a published network.

        A user's own code may depend on more than the files that define its modules.
        """
        if code_hash(self.network.network) is None:
            return None
        noise = keyed_normal((2, *image_shape), 0, device="cpu").abs().clamp(max=1)
        where = next((p.device for p in self.network.parameters()), noise.device)
        vectors = self(noise.to(where)).vectors.cpu().contiguous()
        return hashlib.sha256(vectors.numpy().data).hexdigest()

    def _weights_hash(self) -> str:
        """Kept until a weight is exchanged or changed in place."""
        inner = self.network.network
        state = [
            (id(value), 0 if value.is_inference() else value._version)
            for value in inner.state_dict(keep_vars=True).values()
        ]
        if self._hashed is None or self._hashed[0] != state:
            self._hashed = (state, weights_hash(inner))
        return self._hashed[1]


def quantized(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Images of any value range, rounded and clamped to uint8; raises as `unit`."""
    return (unit(images, value_range) * 255).round().clamp(0, 255).byte()


def unit(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Images of any value range as floats in [0, 1] (beyond it where a model goes beyond).

    Raises:
        DataError: if a pixel is NaN or infinite.
    """
    low, high = value_range
    if not images.isfinite().all():
        raise DataError(
            "images to be measured hold NaN or infinite pixels: the model has diverged; choose an "
            "earlier checkpoint"
        )
    return (images.float() - low) / (high - low)


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of all weights and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def code_hash(network: nn.Module) -> str | None:
    """SHA-256 of the files that define a network and its parts; None where all are published."""
    names = sorted({type(part).__module__ for part in network.modules()})
    own = [sys.modules.get(name) for name in names if name.partition(".")[0] not in PUBLISHED]
    files = [file for module in own if (file := getattr(module, "__file__", None)) is not None]
    if not files:
        return None
    return hashlib.sha256(b"\0".join(Path(file).read_bytes() for file in files)).hexdigest()
