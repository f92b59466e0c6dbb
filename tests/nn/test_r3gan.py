"""R3GAN's networks: identities at the start, resampling, the basis, initial weights."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from ganvas.nn.r3gan import InvertedBottleneck, R3GANCritic, R3GANGenerator, StartMap

SMALL = {"width": 4, "blocks": 2, "expansion": 2, "group_width": 4}


def generator(size: int = 16, **more: object) -> R3GANGenerator:
    torch.manual_seed(0)
    return R3GANGenerator(num_inputs=3, image_shape=(1, size, size), **{**SMALL, **more})


def critic(size: int = 16, **more: object) -> R3GANCritic:
    torch.manual_seed(0)
    shape = (1, size, size)
    return R3GANCritic(image_shape=shape, num_outputs=1, **{**SMALL, **more})


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_a_block_begins_as_an_identity_and_can_leave_it() -> None:
    torch.manual_seed(0)
    block = InvertedBottleneck(4, expansion=2, group_width=4, num_blocks=3)
    h = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(h), h)
    block(h).square().sum().backward()
    assert block.residual[-1].weight.grad.abs().sum() > 0
    with torch.no_grad():
        block.residual[-1].weight.add_(0.1)
    assert not torch.allclose(block(h), h)


def test_at_first_the_generator_is_linear_in_z() -> None:
    network = generator()
    one, two = torch.randn(2, 5, 3)
    torch.testing.assert_close(network(one) + network(two), network(one + two))


def test_at_first_the_critic_is_linear_in_the_image() -> None:
    network = critic()
    one, two = torch.randn(2, 3, 1, 16, 16)
    torch.testing.assert_close(network(one) + network(two), network(one + two))


def test_the_start_map_is_a_basis_weighed_by_z() -> None:
    torch.manual_seed(0)
    start, z = StartMap(3, 4, 5), torch.randn(2, 3)
    wanted = torch.einsum("chw,ck,bk->bchw", start.basis, start.weights.weight, z)
    torch.testing.assert_close(start(z), wanted)


@pytest.mark.parametrize(("size", "stages"), [(8, 2), (14, 2), (28, 3), (32, 4)])
def test_parameters_follow_from_the_sizes(size: int, stages: int) -> None:
    """By the paper's layers: 1×1, grouped 3×3, both with bias, 1×1; basis and linear at the end."""
    width, inner, group = 4, 8, 4
    block = (width + 1) * inner + (group * 9 + 1) * inner + inner * width
    smallest = size >> (stages - 1)
    ends = width * smallest**2 + 1 * width  # basis; the 1×1 convolution at a grey image
    assert count(generator(size)) == stages * 2 * block + ends + 3 * width
    assert count(critic(size)) == stages * 2 * block + ends + width * 1


def test_the_critic_has_no_bias_at_its_end() -> None:
    """The relativistic loss would give it no gradient."""
    assert critic().layers[-1].bias is None


def test_half_of_a_bilinear_image_is_the_mean_of_four_pixels() -> None:
    h = torch.randn(2, 3, 8, 8)
    wanted = nn.functional.interpolate(h, scale_factor=0.5, mode="bilinear", align_corners=False)
    (pool,) = [m for m in critic(8).modules() if isinstance(m, nn.AvgPool2d)]
    torch.testing.assert_close(pool(h), wanted)


def test_doubling_is_bilinear() -> None:
    (double,) = [m for m in generator(8).modules() if isinstance(m, nn.Upsample)]
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    wanted = [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]  # values at the middle of each pixel
    torch.testing.assert_close(double(ramp)[0, 0, 3], torch.tensor(wanted))


def test_initial_weights_are_fixups() -> None:
    torch.manual_seed(0)
    block = InvertedBottleneck(64, expansion=2, group_width=16, num_blocks=6)
    gain = math.sqrt(2 / 1.04) * 6 ** (-1 / 4)
    for layer, fan_in in zip(block.residual[:4:2], (64, 16 * 9), strict=True):
        scale, number = gain / math.sqrt(fan_in), layer.weight.numel()
        assert abs(layer.weight.std() - scale) < 5 * scale / math.sqrt(2 * number)
        assert not layer.bias.any()
    assert not block.residual[4].weight.any()


def test_logits_of_noise_have_unit_scale_at_first() -> None:
    """Each 2×2 mean of white noise halves its deviation; all else keeps it."""
    torch.manual_seed(0)
    more = {**SMALL, "width": 64, "group_width": 16}
    logits = [
        R3GANCritic(image_shape=(1, 16, 16), num_outputs=1, **more)(torch.randn(8, 1, 16, 16))
        for _ in range(30)
    ]
    assert 0.7 / 4 < torch.cat(logits).std() < 1.4 / 4


def test_groups_that_do_not_divide_are_refused() -> None:
    message = "group_width must divide width · expansion = 24, got 16; 8 does"
    for make in (generator, critic):
        with pytest.raises(ValueError, match=re.escape(message)):
            make(width=12, group_width=16)
        with pytest.raises(ValueError, match="group_width must divide"):
            make(group_width=0)
        with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
            make(blocks=0)
