"""The networks of Burgess et al. 2018: the paper's at 64×64, the rule elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.burgess import BurgessDecoder, BurgessEncoder, burgess_depth

PAPER = {"width": 32, "hidden": [256, 256]}


def pair(shape: tuple[int, int, int]) -> tuple[BurgessEncoder, BurgessDecoder]:
    torch.manual_seed(0)
    encoder = BurgessEncoder(image_shape=shape, num_outputs=20, **PAPER)
    return encoder, BurgessDecoder(num_inputs=10, image_shape=shape, **PAPER)


def num_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_at_64_it_is_the_papers() -> None:
    encoder, decoder = pair((1, 64, 64))
    convolutions = (16 * 1 * 32 + 32) + 3 * (16 * 32 * 32 + 32)
    dense = (32 * 4 * 4 * 256 + 256) + (256 * 256 + 256) + (256 * 20 + 20)
    assert num_parameters(encoder) == convolutions + dense == 252_052
    dense = (10 * 256 + 256) + (256 * 256 + 256) + (256 * 512 + 512)
    transposed = 3 * (16 * 32 * 32 + 32) + (16 * 32 * 1 + 1)
    assert num_parameters(decoder) == dense + transposed == 249_953
    kinds = [type(m) for m in encoder.layers]
    assert kinds == [nn.Conv2d, nn.ReLU] * 4 + [nn.Flatten] + [nn.Linear, nn.ReLU] * 2 + [nn.Linear]
    for layer in [*encoder.layers, *decoder.layers]:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert (layer.kernel_size, layer.stride) == ((4, 4), (2, 2))


@pytest.mark.parametrize(
    ("side", "depth"), [(8, 1), (15, 1), (16, 2), (28, 2), (32, 3), (63, 3), (64, 4), (128, 5)]
)
def test_the_depth_follows_from_the_size(side: int, depth: int) -> None:
    assert burgess_depth((1, side, side)) == depth
    assert burgess_depth((1, side, 4 * side)) == depth
    assert 4 <= side >> depth < 8


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 9, 17), (3, 31, 33)], ids=str
)
def test_the_pair_fits_any_size_from_8(shape: tuple[int, int, int]) -> None:
    encoder, decoder = pair(shape)
    assert encoder(torch.randn(2, *shape)).shape == (2, 20)
    assert decoder(torch.randn(2, 10)).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 64, 4)], ids=str)
def test_a_smaller_image_is_refused(shape: tuple[int, int, int]) -> None:
    rule = rf"at least 8 pixels a side, got {shape[1]}×{shape[2]}; set a larger dataset.image_size"
    with pytest.raises(ValueError, match=rule):
        pair(shape)


def test_it_is_sized_on_the_meta_device() -> None:
    with torch.device("meta"):
        encoder, decoder = pair((3, 64, 64))
        assert encoder(torch.empty(2, 3, 64, 64)).shape == (2, 20)
        assert decoder(torch.empty(2, 10)).shape == (2, 3, 64, 64)


def test_norm_activation_and_output_are_options() -> None:
    parts = {**PAPER, "norm": nn.BatchNorm2d, "activation": nn.ELU}
    encoder = BurgessEncoder(image_shape=(1, 32, 32), num_outputs=4, **parts)
    decoder = BurgessDecoder(num_inputs=4, image_shape=(1, 32, 32), output=nn.Tanh, **parts)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in encoder.modules()) == 3
    assert sum(isinstance(m, nn.BatchNorm2d) for m in decoder.modules()) == 2
    assert sum(isinstance(m, nn.ELU) for m in encoder.modules()) == 5
    assert decoder(100 * torch.randn(2, 4)).abs().max() <= 1
