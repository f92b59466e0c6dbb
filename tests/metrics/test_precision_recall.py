"""Precision, recall, density, coverage: by hand, by loops, by torch-fidelity, by identities."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics import MetricCollection

from ganvas.metrics.frechet import FrechetDistance
from ganvas.metrics.precision_recall import PrecisionRecall, overlap, radii

NAMES = ("precision", "recall", "density", "coverage")


def normal(num: int, *, width: int = 4, seed: int = 0) -> Tensor:
    drawn = torch.randn(num, width, generator=torch.Generator().manual_seed(seed))
    return drawn.double()


def grid(num: int, *, width: int = 3, seed: int = 0) -> Tensor:
    """Many duplicates and ties, in whole numbers."""
    return torch.randint(0, 3, (num, width), generator=torch.Generator().manual_seed(seed)) * 1.0


def values(real: Tensor, fake: Tensor, *, k: int) -> list[float]:
    found = overlap(real, fake, k=k).values
    return [found[name].item() for name in NAMES]


def by_loops(real: Tensor, fake: Tensor, *, k: int) -> list[float]:
    """By the definition, image by image; squares, so that whole numbers are exact."""

    def square(x: Tensor, y: Tensor) -> float:
        return (x - y).square().sum().item()

    def balls(points: Tensor) -> list[float]:
        return [
            sorted(square(x, y) for j, y in enumerate(points) if i != j)[k - 1]
            for i, x in enumerate(points)
        ]

    real_balls, fake_balls = balls(real), balls(fake)
    in_real = [[square(x, y) <= r for y, r in zip(real, real_balls, strict=True)] for x in fake]
    in_fake = [[square(x, y) <= r for y, r in zip(fake, fake_balls, strict=True)] for x in real]
    return [
        sum(any(row) for row in in_real) / len(fake),
        sum(any(row) for row in in_fake) / len(real),
        sum(sum(row) for row in in_real) / len(fake) / k,
        sum(any(column) for column in zip(*in_real, strict=True)) / len(real),
    ]


def test_by_hand() -> None:
    """Real balls [-1, 1] [0, 2] [1, 5] [3, 11] [99, 101] [100, 102]; fake ones [-4.5, 0.5] …"""
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0], [100.0], [101.0]])
    fake = torch.tensor([[-2.0], [0.5], [4.0], [5.0]])
    assert radii(real, k=1).tolist() == [1, 1, 2, 4, 1, 1]
    assert values(real, fake, k=1) == [3 / 4, 3 / 6, 6 / 4, 4 / 6]


@pytest.mark.parametrize("draw", [normal, grid])
@pytest.mark.parametrize("k", [1, 2, 5, 19])
def test_by_loops(draw: Callable[..., Tensor], k: int) -> None:
    real, fake = draw(30), 1.5 * draw(20, seed=1) + 0.5
    assert values(real, fake, k=k) == pytest.approx(by_loops(real, fake, k=k), rel=1e-14)


@pytest.mark.parametrize("k", [1, 3])
def test_torch_fidelity_has_the_same_precision_and_recall(k: int) -> None:
    real, fake = normal(300), 1.2 * normal(200, seed=1) + 0.3
    options = {"prc_neighborhood": k, "prc_batch_size": 64, "save_cpu_ram": True, "verbose": False}
    theirs = prc_features_to_metric(fake, real, **options)
    assert values(real, fake, k=k)[:2] == pytest.approx(
        [theirs["precision"], theirs["recall"]], abs=1e-6
    )


@pytest.mark.parametrize("k", [1, 5])
def test_equal_sets(k: int) -> None:
    """Each ball holds its centre and k neighbours, so density is (k + 1) / k; more with ties."""
    real = normal(100)
    assert values(real, real.flip(0), k=k) == [1, 1, pytest.approx((k + 1) / k), 1]
    tied = values(grid(100), grid(100).flip(0), k=k)
    assert tied[:2] == [1, 1]
    assert tied[2] > (k + 1) / k
    assert tied[3] == 1


def test_far_sets() -> None:
    assert values(normal(50), normal(40, seed=1) + 1e4, k=3) == [0, 0, 0, 0]


def test_a_lost_mode_costs_recall_and_a_strange_one_precision() -> None:
    one, other = normal(100), normal(100, seed=1) + 50
    both = torch.cat([one, other])
    lost = values(both, normal(100, seed=2), k=5)
    strange = values(normal(100, seed=2), both, k=5)
    assert lost[0] > 0.8
    assert lost[1] <= 0.5
    assert lost[3] <= 0.5
    assert strange[0] <= 0.5
    assert strange[1] > 0.8


def test_a_copied_outlier_cannot_raise_density_by_much() -> None:
    """What density is for: a real outlier's ball holds fakes of low density."""
    real = torch.cat([normal(200), torch.full((1, 4), 30.0)]).double()
    fake = 10 + normal(100, seed=1)
    precision, _, density, coverage = values(real, fake, k=5)
    assert precision == 1
    assert density == pytest.approx(1 / 5, abs=0.01)
    assert coverage == pytest.approx(1 / 201, abs=0.01)


def test_rotation_scale_and_shift_change_nothing() -> None:
    real, fake = normal(200, width=6), 1.2 * normal(150, width=6, seed=1) + 0.2
    turn = torch.linalg.qr(normal(6, width=6, seed=2)).Q
    expected = values(real, fake, k=4)
    for moved in (real @ turn, fake @ turn), (1e3 * real, 1e3 * fake), (real + 100, fake + 100):
        assert values(*moved, k=4) == expected


def test_chunks_change_nothing() -> None:
    for draw in (normal, grid):
        real, fake = draw(60), draw(45, seed=1)
        expected = overlap(real, fake, k=3)
        for chunk in (1, 7, 46):
            found = overlap(real, fake, k=3, chunk=chunk)
            for part in ("balls", "covered", "recalled"):
                assert torch.equal(getattr(found, part), getattr(expected, part))


def test_features_far_from_zero_lose_no_balls() -> None:
    real, fake = (grid(num, width=6, seed=num).double() for num in (60, 45))
    expected = values(real, fake, k=3)
    for offset in (1e4, 1e6, 2.0**40):
        assert values(real + offset, fake + offset, k=3) == expected


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_the_kth_neighbour_is_on_the_surface_and_so_inside(k: int, chunk: int) -> None:
    """However its distance is rounded: each ball holds its centre and k neighbours."""
    real = 0.1 * normal(60, width=300) + 0.7
    exact = radii(real, k=k)
    for reach, inside in ((exact, k + 1), (exact * (1 - 1e-9), k)):
        found = overlap(real, real.flip(0), k=k, real_radii=reach, chunk=chunk)
        assert found.balls.sum() == 60 * inside
        assert found.recalled.all()


def test_known_radii_are_used() -> None:
    real, fake = normal(60), normal(40, seed=1)
    known = overlap(real, fake, k=3, real_radii=radii(real, k=3)).values
    assert known == overlap(real, fake, k=3).values
    none = overlap(real, fake, k=3, real_radii=torch.zeros(60)).values
    assert [none[name] for name in ("precision", "density", "coverage")] == [0, 0, 0]
    assert none["recall"] == known["recall"]


def test_standard_errors_are_the_spread_over_draws_of_fakes() -> None:
    real, found = normal(80, width=2), []
    for seed in range(1, 401):
        one = overlap(real, 1.5 * normal(60, width=2, seed=seed), k=2)
        found.append([one.values[name] for name in one.errors] + [*one.errors.values()])
    drawn = torch.tensor(found)
    assert drawn[:, 2:].mean(0).tolist() == pytest.approx(drawn[:, :2].std(0).tolist(), rel=0.1)


@pytest.mark.parametrize("sizes", [(5, 9), (9, 5), (0, 9), (9, 0)])
def test_too_few_images_are_refused(sizes: tuple[int, int]) -> None:
    real, fake = (normal(num) for num in sizes)
    with pytest.raises(ValueError, match=f"5 nearest .* 6 images, got {min(sizes)}"):
        overlap(real, fake, k=5)
    assert len(values(normal(6), normal(6), k=5)) == 4


def test_sets_that_do_not_fit_are_refused() -> None:
    known = torch.ones(9)
    with pytest.raises(ValueError, match=r"of one width D, got \[\(9, 4\), \(8, 5\)\]"):
        overlap(normal(9), normal(8, width=5), k=2, real_radii=known)
    with pytest.raises(ValueError, match="must be finite, got 36 NaN"):
        overlap(normal(9) / 0, normal(8), k=2, real_radii=known)


def images(num: int, *, seed: int) -> Tensor:
    drawn = torch.randint(0, 256, (num, 1, 2, 2), generator=torch.Generator().manual_seed(seed))
    return drawn.byte()


def metric(**options: object) -> PrecisionRecall:
    return PrecisionRecall(features=nn.Flatten(), k=3, **options)  # type: ignore[arg-type]


def test_batches_are_as_all_at_once() -> None:
    one, real, fake = metric(), images(50, seed=0), images(41, seed=1)
    for part in real.split(9):
        one.update(part, real=True)
    for part in fake.split(7):
        one.update(part, real=False)
    expected = overlap(real.flatten(1) / 255, fake.flatten(1) / 255, k=3).values
    found = one.compute()
    assert [*found] == [*NAMES]
    assert found == expected
    assert all(0 < value < math.inf for value in found.values())


@pytest.mark.parametrize("keep_real", [True, False])
def test_reset_forgets(keep_real: bool) -> None:
    one, real, fake = metric(keep_real=keep_real), images(50, seed=0), images(41, seed=1)
    one.update(real, real=True)
    one.update(fake, real=False)
    expected = one.compute()
    one.reset()
    if not keep_real:
        one.update(real, real=True)
    one.update(fake[:3], real=False)
    with pytest.raises(ValueError, match="got 3"):
        one.compute()
    one.update(fake[3:], real=False)
    assert one.compute() == expected


def test_together_with_a_frechet_distance() -> None:
    flat = nn.Flatten()
    both = MetricCollection(
        [PrecisionRecall(features=flat, k=3), FrechetDistance(features=flat, num_features=4)]
    )
    alone = metric()
    for seed, real in ((0, True), (1, False)):
        both.update(images(40, seed=seed), real=real)
        alone.update(images(40, seed=seed), real=real)
    found = both.compute()
    assert {*found} == {*NAMES, "FrechetDistance"}
    assert {name: found[name] for name in NAMES} == alone.compute()


def test_k_is_at_least_1() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        PrecisionRecall(k=0)
