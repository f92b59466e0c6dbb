"""Networks between images and maps: sizes, and a start that lets the signal through."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.vq import ResidualBlock, ResidualMapDecoder, ResidualMapEncoder

SIZES = [(4, 4), (7, 9), (8, 8), (10, 13), (28, 28), (33, 30)]


def pair(
    size: tuple[int, int], *, channels: int = 1, width: int = 8
) -> tuple[ResidualMapEncoder, ResidualMapDecoder]:
    torch.manual_seed(0)
    shape, layers = (channels, *size), {"width": width, "num_blocks": 2}
    return (
        ResidualMapEncoder(image_shape=shape, num_outputs=5, **layers),
        ResidualMapDecoder(num_inputs=5, image_shape=shape, **layers),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_pair_fits_any_size(size: tuple[int, int], channels: int) -> None:
    encoder, decoder = pair(size, channels=channels)
    x = torch.randn(2, channels, *size)
    z = encoder(x)
    assert z.shape == (2, 5, size[0] // 4, size[1] // 4)
    assert decoder(z).shape == x.shape


def test_smaller_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 pixels a side, got 3"):
        pair((8, 3))


def test_a_block_adds_to_its_input() -> None:
    block, x = ResidualBlock(4, activation=nn.ReLU), torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x) - x, block.layers(x))
    last = block.layers[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    assert torch.equal(block(x), x)


def test_gradient_reaches_every_parameter() -> None:
    encoder, decoder = pair((9, 12))
    decoder(encoder(torch.randn(4, 1, 9, 12))).square().sum().backward()
    for network in (encoder, decoder):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_differences_between_images_pass_the_whole_depth() -> None:
    """With torch's own start they are lost behind the biases, and training stays at a blank."""
    encoder, decoder = pair((16, 16), width=32)
    x = torch.randn(16, 1, 16, 16)

    def spread() -> float:
        return decoder(encoder(x)).std(0).mean().item()

    assert 0.3 < spread() < 10
    for layer in [*encoder.modules(), *decoder.modules()]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.reset_parameters()
    assert spread() < 0.1
