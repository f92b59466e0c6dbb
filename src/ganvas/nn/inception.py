"""The Inception network of the FID, as torch-fidelity converted it from TensorFlow."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, fx, nn

from ganvas.types import Features, ImageShape

SIDE = 299
COLOURS = 3
ROUNDING = 1e-3
"""How far from a whole number, in steps of 1/255, a float may be that was one."""


class Inception(nn.Sequential):
    """Images `(B, C, H, W)` in [0, 1] to 2,048 features, with the reference's resize.

    The network of December 2015 that Heusel et al. 2017, arXiv:1706.08500, measured with, so its
    Fréchet distance is the FID. Layers and weights are those of torch-fidelity's port; images are
    resized as TensorFlow 1 did it, bilinear and without antialiasing. Grey images count as colour
    ones of three equal channels. 8-bit images reach the network exactly as such; floats between
    its levels are not rounded.

    Its weights are random until those of `weights-inception-2015-12-05-6726825d.pth` are loaded.

    Args:
        image_shape: (C, H, W), grey or colour, of any size.

    Raises:
        ValueError: for another number of channels.
    """

    name = "inception"
    transform = "bilinear to 299×299 as in TensorFlow 1, no antialias"

    def __init__(self, *, image_shape: ImageShape) -> None:
        if image_shape[0] not in (1, COLOURS):
            raise ValueError(
                f"the Inception network takes images of 1 or 3 channels, got {image_shape[0]}; "
                "choose another network, such as features=pixels"
            )
        super().__init__(OrderedDict(_unloaded().named_children()))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """The features, `(B, 2048)`."""
        x = as_inception_sees(x)
        for layer in list(self)[:-1]:
            x = layer(x)
        return x.flatten(1)

    def extract(self, x: Tensor) -> Features:
        """As `forward`, and the logits `(B, 1008)` without bias: those of the Inception score."""
        vectors = self(x)
        return Features(vectors, vectors @ self.get_parameter("fc.weight").T)


def as_inception_sees(x: Tensor) -> Tensor:
    """Images `(B, C, H, W)` in [0, 1] as `(B, 3, 299, 299)`, about in [−1, 1]."""
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    x = 255 * x
    whole = x.round()
    x = torch.where((x - whole).abs() < ROUNDING, whole, x)
    x = x.expand(-1, COLOURS, -1, -1)
    x = interpolate_bilinear_2d_like_tensorflow1x(x, size=(SIDE, SIDE), align_corners=False)
    return (x - 128) / 128


fx.wrap("as_inception_sees")  # one step where layers are looked up by name: it reads the size


def _unloaded() -> nn.Module:
    """torch-fidelity's network without its own loading, which would unpickle whatever it found."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:  # its constructor calls this
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    return Unloaded("inception", ["2048"], feature_extractor_weights_path=nothing)
