"""From images, as metrics see them, to features."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from torch import Tensor, nn

from ganvas.nn.frozen import Frozen
from ganvas.protocols import Extracts
from ganvas.types import Features


class Extractor(nn.Module):
    """A frozen network that turns images into features.

    A network that `Extracts` says itself what its features are; of any other one they are the
    output, flattened.

    Args:
        network: any network, frozen; it gets float images in [0, 1].
        layer: whose output takes the place of the network's own features.

    Raises:
        ValueError: if there is no such layer.
    """

    def __init__(self, network: Frozen, *, layer: str | None = None) -> None:
        super().__init__()
        self.network, self.layer = network, layer
        self.at_layer = None if layer is None else network.layers([layer])

    @property
    def name(self) -> str:
        """What distances in these features are called by."""
        inner = self.network.network
        if isinstance(inner, Extracts):
            return inner.name
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(inner).__name__).lower()

    def forward(self, images: Tensor) -> Features:
        """uint8 images `(B, C, H, W)`, or floats in [0, 1], to features `(B, D)`."""
        x = images if images.is_floating_point() else images.float() / 255
        found = self.network.extract(x)
        if self.at_layer is None:
            return found
        return Features(self.at_layer(x)[self.layer].flatten(1), found.logits)

    def identity(self) -> dict[str, Any]:
        """What must be equal for two values to be compared."""
        inner = self.network.network
        return {
            "extractor": type(inner).__name__,
            "layer": self.layer,
            "weights": weights_hash(inner),
        }


def quantized(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Images of any value range, rounded and clamped to uint8."""
    return (unit(images, value_range) * 255).round().clamp(0, 255).byte()


def unit(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Images of any value range as floats in [0, 1] (beyond it where a model goes beyond)."""
    low, high = value_range
    return (images.float() - low) / (high - low)


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of all weights and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
