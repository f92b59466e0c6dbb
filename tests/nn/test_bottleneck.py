"""The autoencoder's code as features: shapes, and what whitening does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganvas.nn.bottleneck import CODE, FLOOR, Bottleneck, code_channels
from ganvas.nn.conv import ConvDecoder
from ganvas.protocols import Extracts


def codes(num: int = 400) -> Tensor:
    """Of unequal spread, not centred, correlated."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(CODE, CODE, generator=generator, dtype=torch.float64)
    plain = torch.randn(num, CODE, generator=generator, dtype=torch.float64)
    return plain * torch.logspace(-2, 1, CODE, dtype=torch.float64) @ mix + 3


def whitened(values: Tensor) -> Tensor:
    """Codes after the whitening that is fixed on them."""
    network = Bottleneck(image_shape=(1, 8, 8)).double()
    network.whiten(values)
    return (values - network.mean) @ network.whitening


@pytest.mark.parametrize(
    ("shape", "depth"),
    [((1, 2, 2), 1), ((1, 8, 8), 1), ((3, 17, 40), 2), ((1, 28, 28), 2), ((3, 64, 64), 3)],
)
def test_any_image_shape_gives_a_code_of_32(shape: tuple[int, int, int], depth: int) -> None:
    network = Bottleneck(image_shape=shape)
    assert isinstance(network, Extracts)
    found = network.extract(torch.rand(2, *shape))
    assert found.vectors.shape == (2, 32)
    assert found.logits is None
    channels = code_channels(shape)
    assert len(channels) == depth
    decoder = ConvDecoder(num_inputs=CODE, image_shape=shape, channels=channels)
    assert decoder(found.vectors).shape == (2, *shape)


def test_each_direction_gets_its_share_of_variance() -> None:
    values = codes()
    spread = torch.linalg.eigvalsh(values.T.cov())
    found = whitened(values)
    torch.testing.assert_close(found.mean(0), torch.zeros(CODE, dtype=torch.float64))
    expected = (spread / (spread + FLOOR * spread.mean())).sort().values
    torch.testing.assert_close(torch.linalg.eigvalsh(found.T.cov()), expected)
    assert expected[0] < 0.1  # the floor matters for the smallest
    assert expected[-1] > 0.99


def test_scale_and_rotation_of_the_code_are_of_no_effect() -> None:
    values = codes()
    turn = torch.linalg.qr(torch.rand(CODE, CODE, dtype=torch.float64)).Q
    torch.testing.assert_close(whitened(7 * values @ turn + 5), whitened(values) @ turn)


@pytest.mark.parametrize("dead", [1, CODE])
def test_directions_without_variance_stay_finite(dead: int) -> None:
    values = codes()
    values[:, :dead] = 0.5
    found = whitened(values)
    assert found.isfinite().all()
    assert found.std(0).max() < 1.01


def test_it_is_for_images_of_two_pixels_or_more() -> None:
    with pytest.raises(ValueError, match=r"got points of the plane; choose features=pixels"):
        Bottleneck(image_shape=(2, 1, 1))
    with pytest.raises(ValueError, match="need images of at least 2 pixels a side, got 1"):
        Bottleneck(image_shape=(1, 1, 1))
