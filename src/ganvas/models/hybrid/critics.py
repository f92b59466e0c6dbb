"""The networks of hybrids: an encoder, a decoder, and a critic of codes."""

from __future__ import annotations

from torch import Tensor, nn

from ganvas.models.autoencoder.coding import EncoderDecoder
from ganvas.protocols import Encoder


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
