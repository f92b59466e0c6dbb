"""Random weights in the place of published ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.models import alexnet


def random_alexnet(file: Path) -> Path:
    """AlexNet's convolutions, named as in torchvision's file, large enough to tell images apart."""
    with torch.device("meta"):
        state = alexnet().features.state_dict()
    generator = torch.Generator().manual_seed(0)
    weights = {"classifier.1.weight": torch.zeros(2, 2)}
    for name, value in state.items():
        scale = (2 / value[0].numel()) ** 0.5
        weights[f"features.{name}"] = scale * torch.randn(value.shape, generator=generator)
    torch.save(weights, file)
    return file
