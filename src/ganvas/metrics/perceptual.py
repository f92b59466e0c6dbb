"""LPIPS: how alike two images are to a network that was trained to name what they show."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import AlexNet_Weights, alexnet

BACKBONE = AlexNet_Weights.IMAGENET1K_V1.url
"""Where the network's weights are published; the first digits of their hash are in the name."""

TAPS = (1, 4, 7, 9, 11)
"""The five ReLUs of AlexNet's features."""

SIDE = 64
"""Pixels along each side of the patches that the heads were trained on."""

CENTER, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of AlexNet's training images in [-1, 1], by channel."""


class LPIPS(nn.Module):
    """Σ over layers of the mean over places of Σ_c w_c (a_c − b_c)² (Zhang et al. 2018, eq. 1).

    arXiv:1801.03924, version 0.1 with AlexNet and its learnt heads w, which torchmetrics ships; a
    and b are the activations of the two images, of unit length across channels. Where images are
    smaller than 64 pixels they are enlarged (bilinear) until they are not, since AlexNet needs 31;
    grey ones become three equal channels. Else it is torchmetrics' value.

    Args:
        backbone: file of torchvision's weights of AlexNet.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        with torch.device("meta"):  # no weights are drawn, no random numbers used
            self.features = alexnet().features[: TAPS[-1] + 1]
        weights = torch.load(backbone, map_location="cpu", weights_only=True)
        names = self.features.state_dict()
        self.features.load_state_dict({k: weights[f"features.{k}"] for k in names}, assign=True)
        for index, head in enumerate(_heads()):
            self.register_buffer(f"head{index}", head)
        self.register_buffer("center", torch.tensor(CENTER).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Distances `(B,)` of images `(B, C, H, W)` in [0, 1], C = 1 or 3, from as many others."""
        images = _enlarged(torch.cat([real, fake])).expand(-1, 3, -1, -1)
        x = (2 * images - 1 - self.center) / self.spread
        distance = torch.zeros(len(real), device=x.device)
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                head = self.get_buffer(f"head{TAPS.index(index)}")
                length = (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                a, b = (x / length).chunk(2)
                distance += ((a - b).square() * head).sum(1).mean((1, 2))
        return distance


def _enlarged(images: Tensor) -> Tensor:
    """At least 64 pixels along the shorter side."""
    height, width = images.shape[2:]
    factor = SIDE / min(height, width)
    if factor <= 1:
        return images
    size = (round(height * factor), round(width * factor))
    return functional.interpolate(images, size, mode="bilinear", align_corners=False)


def _heads() -> list[Tensor]:
    """The weights w of each layer, `(1, C, 1, 1)`."""
    with as_file(files("torchmetrics.functional.image") / "lpips_models" / "alex.pth") as file:
        found = torch.load(file, map_location="cpu", weights_only=True)
    return [found[f"lin{index}.model.1.weight"] for index in range(len(TAPS))]
