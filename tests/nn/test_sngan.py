"""SNGAN's networks: the published number of parameters, block by block."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from ganvas.nn.sngan import DownBlock, SNGANCritic, SNGANGenerator, UpBlock


def conv(num_in: int, num_out: int, kernel: int) -> int:
    return (num_in * kernel**2 + 1) * num_out


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def published_generator(width: int, num_inputs: int) -> int:
    """Of the authors' code, where every layer has a bias."""
    block = 2 * conv(width, width, 3) + conv(width, width, 1) + 2 * 2 * width
    return (num_inputs + 1) * 16 * width + 3 * block + 2 * width + conv(width, 3, 3)


def published_critic(width: int) -> int:
    """Of the authors' code, where the last layer has no bias."""
    first = conv(3, width, 3) + conv(width, width, 3) + conv(3, width, 1)
    down = 2 * conv(width, width, 3) + conv(width, width, 1)
    return first + down + 2 * 2 * conv(width, width, 3) + width


def test_at_32_pixels_they_have_the_papers_parameters() -> None:
    shape = (3, 32, 32)
    redundant = 3 * 3 * 256  # biases of three convolutions a block, which batch norm cancels
    generator = SNGANGenerator(num_inputs=128, image_shape=shape, width=256)
    assert count(generator) + redundant == published_generator(256, 128) == 4_276_739
    bare = SNGANGenerator(num_inputs=128, image_shape=shape, width=256, norm=None)
    norms = (3 * 2 + 1) * 2 * 256
    assert count(bare) + norms == published_generator(256, 128)
    critic = SNGANCritic(image_shape=shape, num_outputs=1, width=128)
    assert count(critic) == published_critic(128) == 1_053_824


def test_the_biases_left_out_would_change_nothing() -> None:
    torch.manual_seed(0)
    generator = SNGANGenerator(num_inputs=4, image_shape=(1, 16, 16), width=3)
    z = torch.randn(6, 4)
    before = generator(z)
    for block in (m for m in generator.modules() if isinstance(m, UpBlock)):
        for layer in (block.residual[3], block.residual[6], block.shortcut[0]):
            assert layer.bias is None
            layer.bias = nn.Parameter(torch.randn(3))
    torch.testing.assert_close(generator(z), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "doublings", "halvings"),
    [(8, 1, 1), (14, 1, 1), (16, 2, 1), (28, 2, 2), (32, 3, 2), (40, 3, 3), (64, 4, 3)],
)
def test_blocks_follow_from_the_size(size: int, doublings: int, halvings: int) -> None:
    generator = SNGANGenerator(num_inputs=2, image_shape=(1, size, size), width=2)
    assert sum(isinstance(m, UpBlock) for m in generator.modules()) == doublings
    critic = SNGANCritic(image_shape=(1, size, size), num_outputs=1, width=2)
    assert sum(isinstance(m, nn.AvgPool2d) for m in critic.modules()) == 2 * halvings
    assert sum(isinstance(m, DownBlock) for m in critic.modules()) == halvings + 2
    features = critic.features(torch.randn(2, 1, size, size))
    assert features.shape == (2, 2, size >> halvings, size >> halvings)
    assert size >> halvings <= 8


def test_the_critic_sums_over_the_image() -> None:
    torch.manual_seed(0)
    critic = SNGANCritic(image_shape=(1, 8, 8), num_outputs=2, width=3).eval()
    x = torch.randn(4, 1, 8, 8)
    wanted = torch.einsum("bchw,kc->bk", critic.features(x), critic.last.weight)
    torch.testing.assert_close(critic(x), wanted)


def test_the_order_of_doubling_and_1x1_does_not_matter() -> None:
    torch.manual_seed(0)
    block = UpBlock(3, norm=None, activation=nn.ReLU)
    h = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(block.shortcut(h), block.shortcut[0](block.shortcut[1](h)))
    down = DownBlock(3, 3, halve=True, first=False, activation=nn.ReLU)
    torch.testing.assert_close(down.shortcut(h), down.shortcut[0](down.shortcut[1](h)))


def convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [m for m in block.modules() if isinstance(m, nn.Conv2d)]


def test_an_up_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block, h = UpBlock(3, norm=None, activation=nn.ReLU), torch.randn(2, 3, 4, 4)
    first, second, shortcut = convolutions(block)
    doubled = interpolate(h.relu(), scale_factor=2)
    expected = second(first(doubled).relu()) + interpolate(shortcut(h), scale_factor=2)
    torch.testing.assert_close(block(h), expected)


@pytest.mark.parametrize("first", [True, False])
def test_a_down_block_is_its_formula(first: bool) -> None:
    """The first sees the image itself, which has no activation before it."""
    torch.manual_seed(0)
    block = DownBlock(3, 5, halve=True, first=first, activation=nn.ReLU)
    h = torch.randn(2, 3, 4, 4)
    one, two, shortcut = convolutions(block)
    residual = two(one(h if first else h.relu()).relu())
    expected = avg_pool2d(residual, 2) + avg_pool2d(shortcut(h), 2)
    torch.testing.assert_close(block(h), expected)
    critic = SNGANCritic(image_shape=(1, 16, 16), num_outputs=1, width=3)
    blocks = [m for m in critic.modules() if isinstance(m, DownBlock)]
    activated = [isinstance(b.residual[0], nn.ReLU) for b in blocks]
    assert activated == [False] + [True] * (len(blocks) - 1)


def test_a_plain_block_begins_and_ends_with_its_input() -> None:
    block = DownBlock(3, 3, halve=False, first=False, activation=nn.ReLU)
    with torch.no_grad():
        block.residual[-1].weight.zero_()
    h = torch.randn(2, 3, 5, 5)
    assert torch.equal(block(h), h)


def test_initial_weights_are_glorots() -> None:
    torch.manual_seed(0)
    critic = SNGANCritic(image_shape=(3, 32, 32), num_outputs=1, width=64, spectral_norm=False)
    for block in (m for m in critic.modules() if isinstance(m, DownBlock)):
        for layer, gain in [
            *((m, 2.0) for m in block.residual if isinstance(m, nn.Conv2d)),
            *((m, 1.0) for m in block.shortcut if isinstance(m, nn.Conv2d)),
        ]:
            area = layer.kernel_size[0] ** 2
            variance = gain * 2 / ((layer.in_channels + layer.out_channels) * area)
            assert layer.weight.abs().max() <= (3 * variance) ** 0.5
            tolerance = 5 * variance * (0.8 / layer.weight.numel()) ** 0.5
            assert abs(layer.weight.var() - variance) < tolerance
            assert not layer.bias.any()
