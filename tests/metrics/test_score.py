"""The Inception-score analogue: closed forms, torch-fidelity's values, honest errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from ganvas.metrics.score import class_score


def drawn(num: int, *, classes: int = 7, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(num, classes, generator=generator)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_sure_and_equal_classes_score_their_number(classes: int) -> None:
    logits = 1e4 * torch.eye(classes).repeat(3, 1)
    found = class_score(logits)
    assert found.value == pytest.approx(classes, rel=1e-12)
    assert found.error == pytest.approx(0, abs=1e-10)


def test_equal_images_score_1() -> None:
    for row in (torch.zeros(5), drawn(1)[0], torch.tensor([1e4, 0, 0])):
        found = class_score(row.repeat(20, 1))
        assert found.value == pytest.approx(1, rel=1e-12)
        assert found.error == pytest.approx(0, abs=1e-12)


def test_two_kinds_of_images() -> None:
    """Half sure of one class, half unsure of two: p = (3/4, 1/4); E KL by hand."""
    logits = torch.tensor([[1e4, 0.0], [0.0, 0.0]]).repeat(5, 1)
    sure = -math.log(3 / 4)
    unsure = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert class_score(logits).value == pytest.approx(math.exp((sure + unsure) / 2), rel=1e-12)


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_torch_fidelity_has_the_same_score(splits: int) -> None:
    logits = drawn(107)
    theirs = isc_features_to_metric(logits, splits=splits, shuffle=False)
    found = class_score(logits, splits=splits)
    assert found.value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    if splits > 1:  # a standard error from n − 1, where theirs is a standard deviation from n
        spread = theirs["inception_score_std"] / math.sqrt(splits - 1)
        assert found.error == pytest.approx(spread, rel=1e-9)


def test_a_constant_added_to_an_image_changes_nothing() -> None:
    logits = drawn(30).double()
    moved = logits + 100 * drawn(30, classes=1).double()
    assert class_score(moved).value == pytest.approx(class_score(logits).value, rel=1e-12)


@pytest.mark.parametrize("splits", [1, 10])
def test_standard_errors_are_the_spread_over_draws(splits: int) -> None:
    found = [class_score(drawn(2000, seed=seed), splits=splits) for seed in range(200)]
    spread = torch.tensor([one.value for one in found]).double().std().item()
    errors = sum(one.error for one in found) / len(found)
    assert errors == pytest.approx(spread, rel=0.12)


def test_half_precision_logits_are_taken_as_they_are() -> None:
    logits = drawn(50).bfloat16()
    assert class_score(logits).value == class_score(logits.double()).value


def test_refusals() -> None:
    for splits, num in ((1, 1), (0, 10), (6, 11)):
        with pytest.raises(ValueError, match=f"got splits={splits} and {num} images; give more"):
            class_score(drawn(num), splits=splits)
    with pytest.raises(ValueError, match="logits must be finite, got 1 NaN"):
        class_score(torch.tensor([[0.0, torch.nan], [0, 1]]))
