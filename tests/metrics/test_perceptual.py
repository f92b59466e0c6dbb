"""LPIPS with random weights in the backbone's file, against torchmetrics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

from ganvas.metrics.perceptual import BACKBONE, LPIPS
from metrics.backbones import random_alexnet


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_alexnet(tmp_path_factory.mktemp("weights") / "alexnet.pth")


@pytest.fixture(scope="module")
def reference(backbone: Path) -> _LPIPS:
    """torchmetrics' own, with the same weights."""
    network = _LPIPS(net="alex", pnet_rand=True)
    weights = torch.load(backbone, weights_only=True)
    for name in network.net.state_dict():
        own = weights["features." + name.partition(".")[2]]
        network.net.get_parameter(name).data.copy_(own)
    return network


def images(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(64, 64), (70, 81)])
def test_it_is_torchmetrics_value(backbone: Path, reference: _LPIPS, size: tuple[int, int]) -> None:
    real, fake = images(3, 3, *size, seed=1), images(3, 3, *size, seed=2)
    expected = reference(real, fake, normalize=True).flatten()
    found = LPIPS(backbone)(real, fake)
    assert found.shape == (3,)
    assert (expected > 0.01).all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_small_images_are_enlarged_and_grey_ones_repeated(
    backbone: Path, reference: _LPIPS, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fake = images(2, 1, 28, 28, seed=1), images(2, 1, 28, 28, seed=2)
    monkeypatch.setattr(reference, "resize", 64)
    coloured = (x.expand(-1, 3, -1, -1) for x in (real, fake))
    expected = reference(*coloured, normalize=True).flatten()
    torch.testing.assert_close(LPIPS(backbone)(real, fake), expected, rtol=1e-5, atol=1e-7)


def test_nothing_is_stretched(backbone: Path) -> None:
    """The shorter side becomes 64."""
    seen: list[tuple[int, ...]] = []
    network = LPIPS(backbone)
    network.features[0].register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape)))
    network(images(2, 1, 40, 50, seed=1), images(2, 1, 40, 50, seed=2))
    assert seen == [(4, 3, 64, 80)]


def test_it_is_symmetric_and_zero_for_equal_images(backbone: Path) -> None:
    network, real, fake = (
        LPIPS(backbone),
        images(2, 3, 64, 64, seed=1),
        images(2, 3, 64, 64, seed=2),
    )
    assert network(real, real).tolist() == [0, 0]
    torch.testing.assert_close(network(real, fake), network(fake, real))


def test_layers_that_see_nothing_count_nothing(backbone: Path) -> None:
    network = LPIPS(backbone)
    for parameter in network.parameters():
        parameter.zero_()
    assert network(images(1, 3, 64, 64, seed=1), images(1, 3, 64, 64, seed=2)).item() == 0


def test_loading_draws_no_random_numbers(backbone: Path) -> None:
    state = torch.get_rng_state()
    network = LPIPS(backbone)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_file_is_that_of_torchvision() -> None:
    assert BACKBONE.endswith("/alexnet-owt-7be5be79.pth")
