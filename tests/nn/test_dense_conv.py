"""Dense and convolutional networks: shapes for all sizes, and gradients everywhere."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from ganvas.nn.conv import ConvDecoder, ConvEncoder, GroupNorm, halved_sizes
from ganvas.nn.dense import DenseDecoder, DenseEncoder, mlp

SIZES = [(7, 7), (8, 8), (9, 12), (13, 10), (15, 16), (17, 17), (28, 28), (31, 32), (33, 33)]


def require_gradients(network: nn.Module, inputs: torch.Tensor) -> None:
    """Every parameter has some gradient that is finite and not zero."""
    network(inputs).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_conv_pair_fits_any_size(size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    shape = (channels, *size)
    encoder = ConvEncoder(image_shape=shape, num_outputs=5, channels=[4, 6])
    decoder = ConvDecoder(num_inputs=5, image_shape=shape, channels=[4, 6])
    code = encoder(torch.randn(2, *shape))
    assert code.shape == (2, 5)
    assert decoder(code).shape == (2, *shape)


@pytest.mark.parametrize("hidden", [None, 16])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("channels", [[4], [4, 6], [2, 3, 4]])
def test_gradient_reaches_every_parameter_of_the_conv_pair(
    channels: list[int], norm: type[nn.Module] | None, hidden: int | None
) -> None:
    torch.manual_seed(0)
    parts = {"channels": channels, "hidden": hidden, "norm": norm, "activation": nn.ELU}
    encoder = ConvEncoder(image_shape=(1, 13, 11), num_outputs=5, **parts)
    decoder = ConvDecoder(num_inputs=5, image_shape=(1, 13, 11), **parts)
    require_gradients(encoder, torch.randn(4, 1, 13, 11))
    require_gradients(decoder, torch.randn(4, 5))


def test_conv_pair_has_the_norms_it_is_asked_for() -> None:
    parts = {"channels": [4, 6, 8], "norm": nn.BatchNorm2d}
    encoder = ConvEncoder(image_shape=(1, 16, 16), num_outputs=5, **parts)
    decoder = ConvDecoder(num_inputs=5, image_shape=(1, 16, 16), **parts)
    assert [m.num_features for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)] == [4, 6, 8]
    assert [m.num_features for m in decoder.modules() if isinstance(m, nn.BatchNorm2d)] == [6, 4]


def test_halvings_round_down_and_refuse_to_vanish() -> None:
    assert halved_sizes(33, 3) == [33, 16, 8, 4]
    assert halved_sizes(7, 2) == [7, 3, 1]
    with pytest.raises(ValueError, match=r"3 halvings need images of at least 8 pixels .* got 7"):
        halved_sizes(7, 3)
    with pytest.raises(ValueError, match="use fewer channels entries or a larger"):
        ConvEncoder(image_shape=(1, 28, 3), num_outputs=2, channels=[4, 4])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5), (1, 28, 28)], ids=str)
@pytest.mark.parametrize("hidden", [[], [16], [16, 8]], ids=str)
def test_dense_pair(shape: tuple[int, int, int], hidden: list[int]) -> None:
    torch.manual_seed(0)
    encoder = DenseEncoder(image_shape=shape, num_outputs=4, hidden=hidden, activation=nn.Tanh)
    decoder = DenseDecoder(num_inputs=4, image_shape=shape, hidden=hidden, activation=nn.Tanh)
    x, z = torch.randn(2, *shape), torch.randn(2, 4)
    assert encoder(x).shape == (2, 4)
    assert decoder(z).shape == (2, *shape)
    require_gradients(encoder, x)
    require_gradients(decoder, z)
    widths = [math.prod(shape), *hidden, 4]
    assert [m.in_features for m in encoder.modules() if isinstance(m, nn.Linear)] == widths[:-1]
    assert [m.out_features for m in decoder.modules() if isinstance(m, nn.Linear)] == [
        *hidden,
        math.prod(shape),
    ]


def test_mlp_is_linear_after_the_last_layer() -> None:
    network = mlp([3, 4, 2], activation=nn.ReLU)
    assert [type(m) for m in network] == [nn.Linear, nn.ReLU, nn.Linear]
    x = torch.randn(5, 3)
    expected = network[2](network[0](x).clamp(min=0))
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
def test_a_norm_of_the_dense_pair_stands_before_each_activation(norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    parts = {"hidden": [16, 8], "norm": norm, "activation": nn.Tanh}
    encoder = DenseEncoder(image_shape=(1, 4, 4), num_outputs=3, **parts)
    decoder = DenseDecoder(num_inputs=3, image_shape=(1, 4, 4), **parts)
    block = [nn.Linear, norm, nn.Tanh]
    assert [type(m) for m in encoder.layers] == [*block, *block, nn.Linear]
    assert [type(m) for m in decoder.layers] == [*block, *block, nn.Linear]
    assert [m.weight.numel() for m in encoder.modules() if isinstance(m, norm)] == [16, 8]
    assert decoder(encoder(torch.randn(4, 1, 4, 4))).shape == (4, 1, 4, 4)
    assert mlp([4, 2], activation=nn.ReLU, norm=norm)[0].out_features == 2


def test_the_conv_pair_may_have_several_dense_layers() -> None:
    parts = {"image_shape": (1, 8, 8), "channels": [4]}

    def widths(network: nn.Module) -> list[int]:
        return [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]

    for hidden, expected in ((None, []), (0, []), (9, [9]), ([9], [9]), ([9, 7], [9, 7])):
        encoder = ConvEncoder(num_outputs=5, hidden=hidden, **parts)
        decoder = ConvDecoder(num_inputs=5, hidden=hidden, **parts)
        assert widths(encoder) == [*expected, 5]
        assert widths(decoder) == [*expected, 4 * 4 * 4]
        assert decoder(encoder(torch.randn(2, 1, 8, 8))).shape == (2, 1, 8, 8)


def test_group_norm_is_sized_by_the_channels() -> None:
    parts = {"channels": [4, 6], "norm": partial(GroupNorm, num_groups=2)}
    encoder = ConvEncoder(image_shape=(1, 8, 8), num_outputs=5, **parts)
    norms = [m for m in encoder.modules() if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels) for m in norms] == [(2, 4), (2, 6)]


@pytest.mark.parametrize("decoder", [DenseDecoder, partial(ConvDecoder, channels=[4])])
def test_the_output_activation_is_applied_last(decoder: type[nn.Module]) -> None:
    parts = {"num_inputs": 3, "image_shape": (1, 8, 8)}
    parts |= {"hidden": [8]} if decoder is DenseDecoder else {}
    plain, squashed = decoder(**parts), decoder(**parts, output=nn.Tanh)
    squashed.load_state_dict(plain.state_dict())
    z = 20 * torch.randn(4, 3)
    assert torch.equal(squashed(z), plain(z).tanh())
    assert plain(z).abs().max() > 1
