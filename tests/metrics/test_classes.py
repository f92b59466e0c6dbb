"""Counts of classes, and what is made of them."""

from __future__ import annotations

import math

import pytest
import torch

from ganvas.metrics.classes import class_entropy, classes_hit, counts_of


def test_images_are_counted_by_the_class_of_the_largest_logit() -> None:
    logits = torch.tensor([[3, 1, 2, 0], [0, 0, 0, 9], [0, 1, 0, 5], [-3, -1, -2, -4]])
    assert counts_of(logits.float()).tolist() == [1, 1, 0, 2]
    assert counts_of(logits[:0]).tolist() == [0, 0, 0, 0]


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
    assert str(class_entropy(torch.tensor([0, 9, 0]))) == "0.0"  # not -0.0
    p = torch.tensor([1, 2, 5]).double() / 8
    assert class_entropy(torch.tensor([1, 2, 5])) == pytest.approx(-(p * p.log()).sum().item())
