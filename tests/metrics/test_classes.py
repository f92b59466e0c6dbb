"""Counts of classes, and what is made of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganvas.metrics.classes import ClassCounts, class_entropy, classes_hit


class Brightness(nn.Module):
    """Puts an image into the class of its first pixel's value."""

    def forward(self, x: Tensor) -> Tensor:
        found = (x[:, 0, 0, 0] * 255).round().long()
        return nn.functional.one_hot(found, 4).float()


def test_images_are_counted_by_class() -> None:
    counts = ClassCounts(classifier=Brightness(), num_classes=4)
    pixels = torch.tensor([0, 3, 3, 1, 3], dtype=torch.uint8).view(5, 1, 1, 1)
    counts.update(pixels[:2])
    counts.update(pixels[2:])
    assert counts.compute().tolist() == [1, 1, 0, 3]
    counts.reset()
    counts.update(pixels[:1])
    assert counts.compute().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("counts", "hit"),
    [
        ([250, 250, 250, 250], 4),
        ([950, 25, 25, 0], 3),  # 1 / (10 K) of 1,000 is 25
        ([951, 25, 24, 0], 2),
        ([0, 0, 7, 0], 1),
    ],
)
def test_a_class_is_hit_from_a_tenth_of_its_equal_share(counts: list[int], hit: int) -> None:
    assert classes_hit(torch.tensor(counts)) == hit


def test_entropy_of_the_classes() -> None:
    assert class_entropy(torch.tensor([5, 5, 5, 5])) == pytest.approx(math.log(4))
    assert class_entropy(torch.tensor([0, 9, 0])) == 0
    p = torch.tensor([1, 2, 5]).double() / 8
    assert class_entropy(torch.tensor([1, 2, 5])) == pytest.approx(-(p * p.log()).sum().item())
