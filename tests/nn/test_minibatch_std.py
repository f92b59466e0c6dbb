"""Minibatch standard deviation against a hand computation."""

from __future__ import annotations

import re

import pytest
import torch

from ganvas.nn.minibatch_std import EPSILON, MinibatchStd, minibatch_std_layers


def by_hand(h: torch.Tensor) -> float:
    """Of one group, without vector operations over images."""
    images = [image.flatten().tolist() for image in h]
    total = 0.0
    for values in zip(*images, strict=True):
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        total += (variance + EPSILON) ** 0.5
    return total / len(images[0])


def maps(num: int) -> torch.Tensor:
    return torch.randn(num, 3, 2, 4, generator=torch.Generator().manual_seed(num))


@pytest.mark.parametrize(
    ("num", "group_size", "groups"),
    [
        (8, 4, [4, 4]),
        (4, 4, [4]),
        (3, 4, [3]),
        (10, 4, [5, 5]),
        (7, 4, [7]),
        (11, 4, [6, 5]),
        (9, 2, [3, 2, 2, 2]),
        (6, 6, [6]),
        (1, 4, [1]),
    ],
)
def test_the_last_map_is_each_groups_deviation(
    num: int, group_size: int, groups: list[int]
) -> None:
    h = maps(num)
    out = MinibatchStd(group_size)(h)
    assert out.shape == (num, 4, 2, 4)
    assert torch.equal(out[:, :3], h)
    start = 0
    for size in groups:
        group = slice(start, start + size)
        wanted = torch.full((size, 2, 4), by_hand(h[group]))
        torch.testing.assert_close(out[group, 3], wanted)
        start += size
    assert start == num


def test_alike_images_have_none() -> None:
    out = MinibatchStd(4)(maps(1).expand(8, -1, -1, -1))
    torch.testing.assert_close(out[:, 3], torch.full((8, 2, 4), EPSILON**0.5))
    assert EPSILON**0.5 <= 1e-4


def test_it_grows_with_the_spread() -> None:
    narrow, wide = (MinibatchStd(4)(scale * maps(4))[0, 3, 0, 0] for scale in (1.0, 10.0))
    torch.testing.assert_close(wide, 10 * narrow, rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_where_images_are_alike() -> None:
    h = torch.ones(4, 1, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(MinibatchStd(4)(h)[:, 1].square().sum(), h, create_graph=True)
    gradient.square().sum().backward()
    assert torch.isfinite(gradient).all()
    assert torch.isfinite(h.grad).all()


def test_one_image_reaches_the_others_of_its_group_alone() -> None:
    h = maps(8).requires_grad_()
    MinibatchStd(4)(h)[0, 3].sum().backward()
    reached = h.grad.abs().flatten(1).sum(1) > 0
    assert reached.tolist() == [True] * 4 + [False] * 4


def test_none_is_no_layer() -> None:
    assert minibatch_std_layers(0) == []
    assert [type(m) for m in minibatch_std_layers(4)] == [MinibatchStd]


@pytest.mark.parametrize("group_size", [1, -2])
def test_a_group_of_one_is_refused(group_size: int) -> None:
    message = f"minibatch_std must be 0 for none, or a group of at least 2 images, got {group_size}"
    with pytest.raises(ValueError, match=re.escape(message)):
        minibatch_std_layers(group_size)
