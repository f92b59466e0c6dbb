"""Unpooling puts values back where pooling took them, for all sizes and several stages."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from ganvas.nn.unpool import PoolEncoder, UnpoolDecoder, pooled_sizes, unpool

SIZES = [(1, 1), (2, 3), (7, 7), (8, 8), (9, 12), (13, 10), (28, 28), (33, 31)]


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def pooled(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)


def size_of(x: torch.Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_each_maximum_goes_back_to_its_own_place_and_the_rest_is_zero(
    size: tuple[int, int],
) -> None:
    x = images(2, 3, *size)
    back = unpool(*pooled(x), size=size)
    windows = torch.zeros_like(x, dtype=torch.bool)
    for b in range(2):
        for c in range(3):
            for top in range(0, size[0], 2):
                for left in range(0, size[1], 2):
                    window = x[b, c, top : top + 2, left : left + 2]
                    where = (window == window.max()).nonzero()[0]
                    windows[b, c, top + where[0], left + where[1]] = True
    assert torch.equal(back, torch.where(windows, x, 0))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_several_stages_find_the_way_back(size: tuple[int, int]) -> None:
    x = images(2, 3, *size)
    way, y = [], x
    for _ in range(3):
        before = size_of(y)
        y, indices = pooled(y)
        way.append((indices, before))
    for indices, before in reversed(way):
        y = unpool(y, indices, size=before)
    nonzero = y != 0
    assert torch.equal(y[nonzero], x[nonzero])
    maxima = F.max_pool2d(x, 8, ceil_mode=True)
    assert torch.equal(F.max_pool2d(torch.where(nonzero, y, -torch.inf), 8, ceil_mode=True), maxima)
    assert nonzero.sum() == maxima.numel()


def test_wrong_indices_put_them_elsewhere() -> None:
    x = images(1, 1, 8, 8)
    values, indices = pooled(x)
    right = unpool(values, indices, size=(8, 8))
    _, others = pooled(images(2, 1, 8, 8)[1:])
    wrong = unpool(values, others, size=(8, 8))
    assert (right != 0).logical_and(right != x).sum() == 0
    assert (wrong != 0).logical_and(wrong != x).sum() > 0


def test_it_is_torch_s_own_unpooling() -> None:
    x = images(2, 3, 9, 12)
    values, indices = pooled(x)
    theirs = F.max_unpool2d(values, indices, 2, output_size=[9, 12])
    assert torch.equal(unpool(values, indices, size=(9, 12)), theirs)


def test_indices_of_another_shape_are_refused() -> None:
    values, indices = pooled(images(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"indices must have the shape .* the same channels"):
        unpool(values, indices[:, :1], size=(8, 8))


def test_sizes_are_rounded_up() -> None:
    assert pooled_sizes(9, 3) == [9, 5, 3, 2]
    assert pooled_sizes(8, 2) == [8, 4, 2]


def pair(
    size: tuple[int, int], *, encoder: str = "max", decoder: str | None = None
) -> tuple[PoolEncoder, UnpoolDecoder]:
    torch.manual_seed(0)
    shape = (2, *size)
    parts = {"channels": [4, 6], "hidden": 8}
    return (
        PoolEncoder(image_shape=shape, num_outputs=5, pooling=encoder, **parts),
        UnpoolDecoder(num_inputs=5, image_shape=shape, pooling=decoder or encoder, **parts),
    )


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_pair_fits_any_size_with_and_without_indices(
    size: tuple[int, int], pooling: str
) -> None:
    encoder, decoder = pair(size, encoder=pooling)
    x = images(3, 2, *size)
    code, indices = encoder.code_and_indices(x)
    assert torch.equal(code, encoder(x))
    assert code.shape == (3, 5)
    assert len(indices) == (2 if pooling == "max" else 0)
    assert decoder(code).shape == decoder(code, indices).shape == x.shape


def test_indices_matter_to_the_decoder() -> None:
    encoder, decoder = pair((9, 9))
    code, indices = encoder.code_and_indices(images(1, 2, 9, 9))
    _, others = encoder.code_and_indices(images(2, 2, 9, 9)[1:])
    given = decoder(code, indices)
    assert not torch.equal(given, decoder(code))
    assert not torch.equal(given, decoder(code, others))


def test_each_image_of_a_batch_has_its_own_places() -> None:
    encoder, _ = pair((9, 9))
    x = images(3, 2, 9, 9)
    code, indices = encoder.code_and_indices(x)
    for i in range(3):
        alone, places = encoder.code_and_indices(x[i : i + 1])
        torch.testing.assert_close(code[i : i + 1], alone)
        assert all(torch.equal(a[i : i + 1], b) for a, b in zip(indices, places, strict=True))
    assert not torch.equal(indices[0][0], indices[0][1])


def test_without_indices_values_go_to_the_top_left() -> None:
    _, decoder = pair((7, 5))
    x = images(1, 6, 4, 3)
    large = decoder._enlarged(x, None, (7, 5))
    assert torch.equal(large[..., ::2, ::2], x)
    assert (large != 0).sum() == x.numel()


def test_average_unpooling_repeats_each_value_over_its_window() -> None:
    _, decoder = pair((7, 5), encoder="average")
    x = images(1, 6, 4, 3)
    large = decoder._enlarged(x, None, (7, 5))
    assert all(
        torch.equal(large[..., i, j], x[..., i // 2, j // 2]) for i in range(7) for j in range(5)
    )
    assert torch.equal(F.avg_pool2d(large, 2, ceil_mode=True), x)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_gradient_reaches_every_parameter(pooling: str) -> None:
    encoder, decoder = pair((9, 12), encoder=pooling)
    decoder(*encoder.code_and_indices(images(4, 2, 9, 12))).square().sum().backward()
    for network in (encoder, decoder):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", [PoolEncoder, UnpoolDecoder])
def test_another_pooling_is_refused(network: type) -> None:
    widths = {"num_outputs": 2} if network is PoolEncoder else {"num_inputs": 2}
    made = partial(network, image_shape=(1, 8, 8), channels=[2], **widths)
    with pytest.raises(ValueError, match="pooling must be max or average, got min"):
        made(pooling="min")
