"""The MNIST ConvNet: the benchmark's layers at 28×28, as the config group builds it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import yaml
from torch import nn

from ganvas.engine.build import instantiate
from ganvas.nn.convnet import ConvNetDecoder
from ganvas.paths import config_dir

CODE = 16


def pair(shape: tuple[int, int, int]) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of `network=convnet`, with 2·16 outputs and 16 inputs."""
    network = instantiate(yaml.safe_load((config_dir() / "network/convnet.yaml").read_text()))
    return (
        network["encoder"](image_shape=shape, num_outputs=2 * CODE),
        network["decoder"](num_inputs=CODE, image_shape=shape),
    )


def num_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def small(shape: tuple[int, int, int]) -> ConvNetDecoder:
    return ConvNetDecoder(num_inputs=3, image_shape=shape, channels=[4, 6, 8], norm=nn.BatchNorm2d)


def test_at_28_it_is_the_benchmarks() -> None:
    with torch.device("meta"):
        encoder, decoder = pair((1, 28, 28))
        code = encoder(torch.empty(2, 1, 28, 28))
        assert code.shape == (2, 2 * CODE)
        assert decoder(code[:, :CODE]).shape == (2, 1, 28, 28)
    widths = [1, 128, 256, 512, 1024]
    convolutions = sum(16 * a * b + b for a, b in pairwise(widths))
    norms = 2 * sum(widths[1:])
    assert num_parameters(encoder) == convolutions + norms + 2 * (1024 * CODE + CODE)
    dense = CODE * 1024 * 4 * 4 + 1024 * 4 * 4
    transposed = (9 * 1024 * 512 + 512) + (9 * 512 * 256 + 256) + (9 * 256 * 1 + 1)
    assert num_parameters(decoder) == dense + transposed + 2 * (512 + 256)
    kinds = [type(m) for m in decoder.layers]
    block = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [nn.Linear, nn.Unflatten, *block, *block, nn.ConvTranspose2d]  # logits
    padding = [m.output_padding for m in decoder.layers if isinstance(m, nn.ConvTranspose2d)]
    assert padding == [(0, 0), (1, 1), (1, 1)]


def test_the_maps_at_28_are_4_7_14_and_28() -> None:
    sizes = []
    decoder = small((1, 28, 28))
    for layer in decoder.layers:
        if isinstance(layer, nn.Unflatten | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[-1]))
    decoder(torch.randn(2, 3))
    assert sizes == [4, 7, 14, 28]


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 32, 32), (3, 64, 64), (1, 9, 17), (3, 31, 33), (1, 5, 1)], ids=str
)
def test_the_decoder_fits_any_size(shape: tuple[int, int, int]) -> None:
    assert small(shape)(torch.randn(2, 3)).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 64, 64), (1, 16, 31)], ids=str)
def test_the_pair_is_sized_from_16_pixels_on_the_meta_device(shape: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        encoder, decoder = pair(shape)
        assert encoder(torch.empty(2, *shape)).shape == (2, 2 * CODE)
        assert decoder(torch.empty(2, CODE)).shape == (2, *shape)


def test_a_smaller_image_is_refused_by_the_encoder() -> None:
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match=r"4 halvings need images of at least 16 pixels .* got 8"),
    ):
        pair((1, 8, 8))


def test_gradient_reaches_every_parameter_that_no_norm_cancels() -> None:
    torch.manual_seed(0)
    decoder = ConvNetDecoder(
        num_inputs=3, image_shape=(1, 13, 11), channels=[4, 6], activation=nn.ELU
    )
    decoder(torch.randn(4, 3)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 1e-6 for p in decoder.parameters())


def test_the_output_activation_is_applied_last() -> None:
    parts = {"num_inputs": 3, "image_shape": (1, 8, 8), "channels": [4]}
    plain, squashed = ConvNetDecoder(**parts), ConvNetDecoder(**parts, output=nn.Sigmoid)
    squashed.load_state_dict(plain.state_dict())
    z = torch.randn(4, 3)
    assert torch.equal(squashed(z), plain(z).sigmoid())
