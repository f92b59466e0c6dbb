"""The DCGAN pair: sizes, refusals, gradients and initial weights."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from ganvas.nn.dcgan import DCGANCritic, DCGANGenerator, dcgan_sizes

MAPS = {8: 2, 12: 3, 16: 4, 28: 7, 32: 4, 36: 9, 64: 4}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", MAPS)
def test_pair_fits_the_size(size: int, channels: int) -> None:
    torch.manual_seed(0)
    shape = (channels, size, size)
    generator = DCGANGenerator(num_inputs=10, image_shape=shape, width=4)
    critic = DCGANCritic(image_shape=shape, num_outputs=2, width=4)
    fake = generator(torch.randn(3, 10))
    assert fake.shape == (3, *shape)
    assert fake.abs().max() <= 1
    assert critic(fake).shape == (3, 2)


@pytest.mark.parametrize(("size", "final"), MAPS.items())
def test_the_last_feature_map(size: int, final: int) -> None:
    sizes = dcgan_sizes((1, size, size))
    assert (sizes[0], sizes[-1]) == (size, final)
    assert all(a == 2 * b for a, b in pairwise(sizes))
    critic = DCGANCritic(image_shape=(1, size, size), num_outputs=1, width=4)
    features = critic.layers[:-2](torch.randn(2, 1, size, size))
    assert features.shape == (2, 4 * 2 ** (len(sizes) - 2), final, final)
    assert critic.layers[-2](features).shape == (2, 1, 1, 1)


def test_at_64_pixels_it_is_the_papers_pair() -> None:
    generator = DCGANGenerator(num_inputs=100, image_shape=(3, 64, 64), width=128)
    maps = [m.out_channels for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert maps == [1024, 512, 256, 128, 3]
    critic = DCGANCritic(image_shape=(3, 64, 64), num_outputs=1, width=64)
    kinds = [type(m) for m in critic.layers]
    assert kinds[:3] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]  # no norm after the first layer
    assert kinds.count(nn.BatchNorm2d) == 3


@pytest.mark.parametrize(
    ("height", "width", "remedy"),
    [(10, 10, "8 or 12"), (6, 6, "8"), (30, 28, "28 or 32"), (65, 65, "64 or 68")],
)
def test_other_sizes_are_refused_with_the_nearest(height: int, width: int, remedy: str) -> None:
    shape = (1, height, width)
    message = f"got {height}×{width}; set dataset.image_size to {remedy}"
    with pytest.raises(ValueError, match=re.escape(message)):
        DCGANGenerator(num_inputs=2, image_shape=shape, width=4)
    with pytest.raises(ValueError, match=re.escape(message)):
        DCGANCritic(image_shape=shape, num_outputs=1, width=4)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_gradient_reaches_every_parameter(norm: type[nn.Module] | None) -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(num_inputs=6, image_shape=(1, 12, 12), width=4, norm=norm)
    critic = DCGANCritic(image_shape=(1, 12, 12), num_outputs=1, width=4, norm=norm)
    critic(generator(torch.randn(5, 6))).square().sum().backward()
    for network in (generator, critic):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_initial_weights_have_the_papers_statistics() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(num_inputs=64, image_shape=(3, 32, 32), width=64)
    critic = DCGANCritic(image_shape=(3, 32, 32), num_outputs=1, width=64)
    scales = []
    for module in (*generator.modules(), *critic.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            weight = module.weight.flatten()
            tolerance = 5 * 0.02 / len(weight) ** 0.5
            assert abs(weight.mean()) < tolerance
            assert abs(weight.std() - 0.02) < tolerance
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            scales.append(module.weight)
            assert not module.bias.any()
    scale = torch.cat(scales)
    assert abs(scale.mean() - 1) < 5 * 0.02 / len(scale) ** 0.5
    assert abs(scale.std() - 0.02) < 5 * 0.02 / len(scale) ** 0.5


def test_a_layer_has_a_bias_where_no_norm_follows() -> None:
    generator = DCGANGenerator(num_inputs=4, image_shape=(1, 16, 16), width=4)
    biases = [m.bias is not None for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert biases == [False, False, True]
    critic = DCGANCritic(image_shape=(1, 16, 16), num_outputs=1, width=4, norm=None)
    assert all(m.bias is not None for m in critic.modules() if isinstance(m, nn.Conv2d))
