"""The critics of hybrids: of codes, and of images by way of features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganvas.models.autoencoder.coding import EncoderDecoder
from ganvas.protocols import Encoder
from ganvas.types import ImageShape


class EncoderDecoderCritic(EncoderDecoder):
    """The `network` config of hybrids."""

    critic: Encoder


class CodeCritic(nn.Module):
    """Codes `(B, Z)` to logits `(B,)`.

    The factory is that of any critic; it gets a code as an image of Z channels and one pixel, so
    that dense networks serve.

    Args:
        critic: factory of the network.
        latent_dim: width Z of the code.
    """

    def __init__(self, critic: Encoder, *, latent_dim: int) -> None:
        super().__init__()
        self.network = critic(image_shape=(latent_dim, 1, 1), num_outputs=1)

    def forward(self, z: Tensor) -> Tensor:
        """`(B, Z)` to `(B,)`."""
        return self.network(z[:, :, None, None]).float().squeeze(1)


class FeatureCritic(nn.Module):
    """Images `(B, C, H, W)` to logits `(B,)` by way of F features: Dis_l, then a linear head.

    The features of an image have mean 0 and variance 1: a distance between two images does not
    depend on how far the critic has grown its weights, and is 2·F on average for unlike ones.

    Args:
        critic: factory of the network from images to features.
        image_shape: (C, H, W).
        num_features: F.
    """

    def __init__(self, critic: Encoder, *, image_shape: ImageShape, num_features: int) -> None:
        super().__init__()
        features = critic(image_shape=image_shape, num_outputs=num_features)
        self.features = nn.Sequential(
            features, nn.LayerNorm(num_features, elementwise_affine=False)
        )
        self.head = nn.Linear(num_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B,)`."""
        return self.head(leaky_relu(self.features(x), 0.2)).float().squeeze(1)
