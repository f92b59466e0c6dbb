"""Residual networks: shapes for all sizes, what pooling does, and the identity in each block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.conv import GroupNorm
from ganvas.nn.resnet import POOLINGS, ResidualBlock, ResNetDecoder, ResNetEncoder

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (1, 13, 9), (3, 31, 33)]


def pair(shape: tuple[int, int, int], **parts: object) -> tuple[ResNetEncoder, ResNetDecoder]:
    torch.manual_seed(0)
    parts = {"channels": [4, 6, 8], "blocks": 1, **parts}
    pooling = parts.pop("pooling", "average")
    encoder = ResNetEncoder(image_shape=shape, num_outputs=5, pooling=pooling, **parts)  # type: ignore[arg-type]
    return encoder, ResNetDecoder(num_inputs=5, image_shape=shape, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_pair_fits_any_size(shape: tuple[int, int, int], pooling: str) -> None:
    encoder, decoder = pair(shape, pooling=pooling)
    code = encoder(torch.randn(2, *shape))
    assert code.shape == (2, 5)
    assert decoder(code).shape == (2, *shape)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradient_reaches_every_parameter(
    pooling: str, norm: type[nn.Module] | None, blocks: int
) -> None:
    for network, inputs in zip(
        pair((1, 13, 11), pooling=pooling, norm=norm, blocks=blocks, activation=nn.ELU),
        (torch.randn(4, 1, 13, 11), torch.randn(4, 5)),
        strict=True,
    ):
        network(inputs).square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 1e-5, name


def test_a_block_is_its_input_plus_a_residual() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 3, activation=nn.ReLU, norm=nn.BatchNorm2d).eval()
    h = torch.randn(2, 3, 5, 5)
    conv1, conv2 = (m for m in block.modules() if isinstance(m, nn.Conv2d))
    by_hand = h + conv2(conv1(h.clamp(min=0) / (1 + 1e-5) ** 0.5).clamp(min=0) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(block(h), by_hand)
    nn.init.zeros_(conv2.weight)
    assert torch.equal(block(h), h)
    wider = ResidualBlock(3, 4, activation=nn.ReLU, norm=None)
    assert isinstance(wider.shortcut, nn.Conv2d)
    assert wider.shortcut.weight.shape == (4, 3, 1, 1)


def test_the_number_of_parameters_by_hand() -> None:
    encoder, decoder = pair((1, 28, 28), channels=[4, 6], blocks=1, norm=nn.BatchNorm2d)
    stem = 9 * 1 * 4
    first = 2 * 4 + 9 * 4 * 4 + 2 * 4 + 9 * 4 * 4  # two norms, two convolutions without bias
    second = 2 * 4 + 9 * 4 * 6 + 2 * 6 + 9 * 6 * 6 + 4 * 6  # and the shortcut
    last = 2 * 6 + 6 * 7 * 7 * 5 + 5
    assert sum(p.numel() for p in encoder.parameters()) == stem + first + second + last
    start = 5 * 6 * 7 * 7 + 6 * 7 * 7
    second = 2 * 6 + 9 * 6 * 4 + 2 * 4 + 9 * 4 * 4 + 6 * 4
    last = 2 * 4 + 9 * 4 * 1 + 1
    assert sum(p.numel() for p in decoder.parameters()) == start + second + first + last


def test_poolings_differ_as_their_names_say() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).view(1, 1, 2, 2)
    assert POOLINGS["average"](1, True)(x).item() == 3.0
    assert POOLINGS["max"](1, True)(x).item() == 6.0
    learned = POOLINGS["stride"](1, True)
    assert [p.shape for p in learned.parameters()] == [(1, 1, 4, 4), (1,)]
    networks = {pooling: pair((1, 8, 8), pooling=pooling)[0] for pooling in ("average", "max")}
    networks["max"].load_state_dict(networks["average"].state_dict())
    images = torch.randn(2, 1, 8, 8)
    assert not torch.equal(networks["max"](images), networks["average"](images))


def test_upsampling_is_by_nearest_neighbours() -> None:
    (up,) = (m for m in pair((1, 8, 8), channels=[4])[1].modules() if isinstance(m, nn.Upsample))
    x = torch.randn(1, 4, 4, 4)
    assert torch.equal(up(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_group_norm_keeps_images_apart_and_batch_norm_does_not() -> None:
    images = torch.randn(6, 1, 8, 8)

    def group_norm(num_channels: int) -> nn.Module:
        return GroupNorm(num_channels, num_groups=2)

    apart = pair((1, 8, 8), norm=group_norm)[0]
    torch.testing.assert_close(apart(images)[:2], apart(images[:2]))
    together = pair((1, 8, 8), norm=nn.BatchNorm2d)[0]
    assert (together(images)[:2] - together(images[:2])).abs().max() > 0.01


def test_it_is_sized_on_the_meta_device() -> None:
    with torch.device("meta"):
        encoder, decoder = pair((3, 64, 64), norm=nn.BatchNorm2d)
        assert decoder(encoder(torch.empty(2, 3, 64, 64))).shape == (2, 3, 64, 64)


def test_the_output_activation_is_applied_last() -> None:
    plain, squashed = pair((1, 8, 8))[1], pair((1, 8, 8), pooling="max")[1]
    squashed.output = nn.Tanh()
    z = 20 * torch.randn(4, 5)
    assert torch.equal(squashed(z), plain(z).tanh())


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be average, max, stride, got 'mean'"):
        pair((1, 8, 8), pooling="mean")
    with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
        pair((1, 8, 8), blocks=0)
    with pytest.raises(ValueError, match=r"3 halvings need images of at least 8 .* got 7"):
        pair((1, 8, 7))
