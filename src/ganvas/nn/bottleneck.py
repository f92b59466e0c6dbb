"""The code of a small autoencoder as features, for images without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvas.nn.conv import ConvEncoder
from ganvas.types import POINT_SHAPE, Features, ImageShape

CODE = 32
CHANNELS = (16, 32, 64)
SMALLEST_MAP = 4
FLOOR = 0.01
"""Variance added to each direction of the code, as a share of the mean variance."""


class Bottleneck(nn.Module):
    """Images `(B, C, H, W)` in [0, 1] to whitened codes of an autoencoder, `(B, 32)`.

    f(x) = (S + 0.01 tr(S)/D · I)^(−1/2) (e(x) − m)

    with the encoder e and mean m and covariance S of the codes of training images, all fixed. An
    autoencoder's code is known up to a linear map that the next layer undoes; whitened, it has no
    scale of its own. Training images have mean 0 and variance about 1 in each of D = 32 directions,
    so a Fréchet distance is in units of their spread: one image repeated is about 2 D away from
    them, D by its own place and D for what it lacks in spread. The term with 0.01 keeps directions
    that hardly vary in training from outweighing others.

    One size for all data sets, so that features with the same name mean the same.

    Args:
        image_shape: (C, H, W), of at least 2 pixels a side.

    Raises:
        ValueError: for smaller images and for points of the plane.
    """

    name = "autoencoder"

    mean: Tensor
    whitening: Tensor

    def __init__(self, *, image_shape: ImageShape) -> None:
        super().__init__()
        if tuple(image_shape) == POINT_SHAPE:
            raise ValueError(
                "an autoencoder's code is for images, got points of the plane; choose "
                "features=pixels"
            )
        self.encoder = ConvEncoder(
            image_shape=image_shape, num_outputs=CODE, channels=code_channels(image_shape)
        )
        self.register_buffer("mean", torch.zeros(CODE))
        self.register_buffer("whitening", torch.eye(CODE))

    def forward(self, x: Tensor) -> Tensor:
        """Whitened codes, `(B, 32)`."""
        return (self.encoder(x) - self.mean) @ self.whitening

    def extract(self, x: Tensor) -> Features:
        """As `forward`; no classes are known."""
        return Features(self(x))

    def whiten(self, codes: Tensor) -> None:
        """Fix mean and whitening as those of codes `(N, 32)` of the encoder."""
        codes = codes.double()
        self.mean.copy_(codes.mean(0))
        values, vectors = torch.linalg.eigh(codes.T.cov())
        values = values.clamp(min=0)
        scale = (values + FLOOR * values.mean()).clamp(min=torch.finfo(torch.float32).tiny)
        self.whitening.copy_((vectors / scale.sqrt()) @ vectors.T)


def code_channels(image_shape: ImageShape) -> tuple[int, ...]:
    """Widths of one to three halvings, as many as leave maps of 4 pixels a side or more."""
    smallest = min(image_shape[1:])
    depth = sum(smallest >> i >= SMALLEST_MAP for i in range(1, len(CHANNELS) + 1))
    return CHANNELS[: max(1, depth)]
