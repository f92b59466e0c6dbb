"""Networks that others are measured with: never trained themselves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.errors import ConfigError
from ganvas.protocols import Extracts
from ganvas.types import Features

MANY = 40
"""Layers that are listed by their full names."""


class Frozen(nn.Module):
    """A network of images with fixed weights, always in evaluation mode.

    Gradients pass through it to its input, none reach its weights. As a sub-module it is in the
    checkpoint and on the device with the rest.

    Args:
        network: any network; its own weights are frozen, no copy is made.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        """Stays in evaluation mode, so that batch norm and dropout change nothing."""
        del mode
        return super().train(False)

    def forward(self, x: Tensor) -> Any:
        """The network's output for images `(B, C, H, W)`, in float32 whatever autocast says."""
        with _full_precision(x):
            return self.network(x.float())

    def extract(self, x: Tensor) -> Features:
        """Features of images `(B, C, H, W)` in [0, 1]; of a network that has none, its output.

        Raises:
            ConfigError: if that is no tensor of floats with a row for each image.
        """
        with _full_precision(x):
            if isinstance(self.network, Extracts):
                return self.network.extract(x.float())
            output = self.network(x.float())
        return Features(as_vectors(output, num=len(x), source=type(self.network).__name__))

    def layers(self, names: Sequence[str]) -> Frozen:
        """A frozen network from the same input to a dictionary of these layers' outputs.

        Args:
            names: as torchvision's `get_graph_node_names` tells them: `relu1`, `features.3`, …

        Raises:
            ValueError: if none are named, one is unknown, or the network can't be traced.
        """
        from torchvision.models.feature_extraction import (
            create_feature_extractor,
            get_graph_node_names,
        )

        options = {"suppress_diff_warning": True}  # only the evaluation graph will be used
        try:
            nodes = get_graph_node_names(self.network, **options)[1]
        except Exception as error:  # whatever a user's code raises when its input is symbolic
            raise ValueError(
                f"the layers of {type(self.network).__name__} can't be told, since torch.fx can't "
                f"trace its forward pass ({' '.join(str(error).split())}); choose no layer"
            ) from error
        known = nodes[1:]  # the first is the input
        blocks = {name.rsplit(".", n)[0] for name in known for n in range(name.count(".") + 1)}
        unknown = [name for name in names if name not in blocks]
        if unknown or not names:
            if len(known) > MANY:  # the outermost will do
                known = list(dict.fromkeys(name.partition(".")[0] for name in known))
            raise ValueError(
                f"layers must name layers of {type(self.network).__name__}, got "
                f"{', '.join(unknown) or 'none'}; there are: {', '.join(known)}"
            )
        return Frozen(create_feature_extractor(self.network, return_nodes=list(names), **options))


def as_vectors(output: Any, *, num: int, source: str) -> Tensor:
    """What a network or a layer gave for `num` images, flattened: `(B, D)` in float32.

    Raises:
        ConfigError: if it is no tensor of floats with a row for each image.
    """
    got = type(output).__name__
    if isinstance(output, Tensor):
        got = f"{str(output.dtype).removeprefix('torch.')} {tuple(output.shape)}"
        rows = len(output) if output.dim() > 1 else -1
        if rows == num and output.numel() > 0 and output.is_floating_point():
            return output.flatten(1).float()
    raise ConfigError(
        f"features: {source} must give floats (B, D, …) for B images, got {got} for "
        f"{num}; choose another layer or network"
    )


def _full_precision(x: Tensor) -> AbstractContextManager[None]:
    kind = x.device.type
    known = torch.amp.is_autocast_available(kind)  # not on the meta device
    return torch.autocast(kind, enabled=False) if known else nullcontext()
