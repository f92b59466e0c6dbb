"""The InfoGAN network: layer by layer as in the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.infogan import InfoGANCritic, InfoGANGenerator


def parameters(network: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [
        (type(m).__name__, tuple(m.weight.shape))
        for m in network.modules()
        if getattr(m, "weight", None) is not None
    ]


def test_the_generator_is_the_papers() -> None:
    network = InfoGANGenerator(num_inputs=62, image_shape=(1, 28, 28), width=64, hidden=1024)
    assert parameters(network) == [
        ("Linear", (1024, 62)),
        ("BatchNorm2d", (1024,)),
        ("Linear", (128 * 7 * 7, 1024)),
        ("BatchNorm2d", (128 * 7 * 7,)),
        ("ConvTranspose2d", (128, 64, 4, 4)),
        ("BatchNorm2d", (64,)),
        ("ConvTranspose2d", (64, 1, 4, 4)),
    ]


def test_the_critic_is_the_papers() -> None:
    network = InfoGANCritic(image_shape=(3, 32, 32), num_outputs=1, width=64, hidden=1024)
    assert parameters(network) == [
        ("Conv2d", (64, 3, 4, 4)),
        ("Conv2d", (128, 64, 4, 4)),
        ("BatchNorm2d", (128,)),
        ("Linear", (1024, 128 * 8 * 8)),
        ("BatchNorm2d", (1024,)),
        ("Linear", (1, 1024)),
    ]


def test_a_dense_layer_is_normalised_value_by_value() -> None:
    """A map of one pixel for each value: batch norm of 2-D maps is then that of vectors."""
    torch.manual_seed(0)
    network = InfoGANGenerator(num_inputs=4, image_shape=(1, 8, 8), width=2, hidden=6)
    z = torch.randn(5, 4)
    h = network.layers[0](z)
    centred = (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt()
    norm = network.layers[2]
    wanted = torch.relu(centred * norm.weight + norm.bias)
    torch.testing.assert_close(network.layers[:5](z), wanted)


def test_first_weights_have_deviation_002() -> None:
    """As in the code of Lucic et al.; biases are 0."""
    torch.manual_seed(0)
    sizes = {"image_shape": (1, 16, 16), "width": 32, "hidden": 128}
    for network in (
        InfoGANGenerator(num_inputs=64, **sizes),
        InfoGANCritic(num_outputs=8, **sizes),
    ):
        layers = [
            m
            for m in network.modules()
            if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        ]
        for layer in layers:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_a_layer_has_a_bias_where_no_norm_follows(norm: type[nn.Module] | None) -> None:
    made = InfoGANGenerator(num_inputs=4, image_shape=(1, 8, 8), width=2, hidden=6, norm=norm)
    critic = InfoGANCritic(image_shape=(1, 8, 8), num_outputs=1, width=2, hidden=6, norm=norm)
    weighted = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    biases = [
        [m.bias is not None for m in network.modules() if isinstance(m, weighted)]
        for network in (made, critic)
    ]
    plain = norm is None
    assert biases == [[plain, plain, plain, True], [True, plain, plain, True]]
