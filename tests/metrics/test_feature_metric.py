"""What metrics over features of images take, refuse, keep and forget."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganvas.metrics.feature_metric import FeatureMetric
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen

SHAPE = (1, 2, 3)


class Sums(FeatureMetric):
    """Sums of the features of real and fake images."""

    def compute(self) -> Tensor:
        return torch.stack([self.rows("real").sum(), self.rows("fake").sum()])


def images(num: int, *, value: int = 51) -> Tensor:
    return torch.full((num, *SHAPE), value, dtype=torch.uint8)


def metric(**options: object) -> Sums:
    return Sums(features=nn.Flatten(), **options)  # type: ignore[arg-type]


def test_networks_see_floats_in_unit_range() -> None:
    one = metric(floats=True)
    one.update(images(4), real=True)
    one.update(torch.full((2, *SHAPE), 0.5), real=False)
    torch.testing.assert_close(one.compute(), torch.tensor([4 * 6 * 0.2, 2 * 6 * 0.5]))


def test_an_extractor_a_frozen_network_and_none_are_the_same() -> None:
    expected = torch.tensor([4 * 6 * 0.2, 6 * 0.4])
    for features in (nn.Flatten(), Frozen(nn.Flatten()), Extractor(Frozen(nn.Flatten()))):
        one = Sums(features=features)
        one.update(images(4), real=True)
        one.update(images(1, value=102), real=False)
        torch.testing.assert_close(one.compute(), expected)
    one = Sums()
    one.update(images(4).flatten(1) / 255, real=True)
    one.update(images(1, value=102).flatten(1) / 255, real=False)
    torch.testing.assert_close(one.compute(), expected)


def test_networks_are_frozen() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Flatten())
    one = Sums(features=network)
    one.train()
    one.update(images(4), real=True)
    assert network[0].running_mean.item() == 0  # type: ignore[union-attr, operator]
    assert not network.training
    assert not any(p.requires_grad for p in one.parameters())


def test_no_images_add_nothing() -> None:
    one = metric()
    one.update(images(0), real=True)
    one.update(images(2), real=False)
    torch.testing.assert_close(one.compute(), torch.tensor([0.0, 2 * 6 * 0.2]))


def test_reset_forgets_all_or_only_fakes() -> None:
    for keep_real, left in ((False, 0.0), (True, 4 * 6 * 0.2)):
        one = metric(keep_real=keep_real)
        one.update(images(4), real=True)
        one.update(images(4), real=False)
        one.reset()
        one.update(images(1), real=False)
        torch.testing.assert_close(one.compute(), torch.tensor([left, 6 * 0.2]))


def test_updates_after_a_value_count() -> None:
    one = metric()
    one.update(images(1), real=True)
    one.compute()
    one.update(images(1), real=True)
    torch.testing.assert_close(one.compute(), torch.tensor([2 * 6 * 0.2, 0.0]))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_go_on(again: Callable[[Sums], Sums]) -> None:
    one = metric()
    one.update(images(1), real=True)
    other = again(one)
    other.update(images(1), real=True)
    torch.testing.assert_close(other.compute()[0], torch.tensor(2 * 6 * 0.2))
    torch.testing.assert_close(one.compute()[0], torch.tensor(6 * 0.2))


class First(nn.Module):
    """As many features as the first pixel says."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, : int(x[0, 0, 0, 0] * 255)]


class NotANumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) / 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.rand(3, *SHAPE), r"images must be uint8, 0 to 255, got torch\.float32; floats=True"),
        (images(3)[0], r"images must be \(B, C, H, W\), got \("),
        (images(3).long(), r"images must be uint8, 0 to 255, got torch\.int64"),
    ],
)
def test_other_types_are_refused(given: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric().update(given, real=True)


@pytest.mark.parametrize("bad", [-0.1, 1.5, float("nan"), float("inf")])
def test_floats_beyond_the_range_are_refused(bad: float) -> None:
    given = torch.rand(3, *SHAPE)
    given[1, 0, 1, 2] = bad
    with pytest.raises(ValueError, match=r"float images must be in \[0, 1\], got .* to .*; clamp"):
        metric(floats=True).update(given, real=True)


def test_features_that_are_no_numbers_are_refused() -> None:
    one = Sums(features=NotANumber())
    with pytest.raises(ValueError, match="NaN or infinite"):
        one.update(images(3), real=False)
    with pytest.raises(ValueError, match="features of real images must be finite, got 1 NaN"):
        Sums().update(torch.tensor([[1.0, torch.nan]]), real=True)


def test_features_of_another_width_are_refused() -> None:
    one = Sums(features=First())
    one.update(images(3, value=4), real=True)
    with pytest.raises(ValueError, match=r"got (4 for some and )?5"):
        one.update(images(3, value=5), real=False)
    one = Sums()
    one.update(torch.rand(3, 4), real=True)
    with pytest.raises(ValueError, match="of fake images must be 4 wide as all others, got 5"):
        one.update(torch.rand(3, 5), real=False)
    with pytest.raises(ValueError, match="of real images must be 7 wide as all others, got 6"):
        metric(num_features=7).update(images(3), real=True)
    with pytest.raises(ValueError, match="num_features must be at least 1, got 0"):
        metric(num_features=0)


def test_images_without_a_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"features must be floats \(N, D\), got torch\.uint8"):
        Sums().update(images(3), real=True)
