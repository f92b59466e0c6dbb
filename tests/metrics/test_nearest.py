"""Neighbours against double loops: duplicates, ties, chunks, scale."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganvas.metrics import nearest as module
from ganvas.metrics.nearest import nearest, search

CHUNKS = (1, 7, 2048)


def normal(num: int, *, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed))


def grid(num: int, *, seed: int = 0) -> Tensor:
    """Points with many duplicates and ties, far from 0."""
    return torch.randint(0, 3, (num, 3), generator=torch.Generator().manual_seed(seed)) + 1e3


def by_loops(queries: Tensor, points: Tensor, *, k: int, itself: bool) -> Tensor:
    """Distances `(N, k)`."""
    found = []
    for i, x in enumerate(queries.double()):
        others = [
            (x - y).square().sum().sqrt().item()
            for j, y in enumerate(points.double())
            if itself or i != j
        ]
        found.append(sorted(others)[:k])
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("draw", [normal, grid])
@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_distances_are_those_of_loops(
    draw: Callable[..., Tensor], itself: bool, chunk: int
) -> None:
    queries = draw(30)
    points = draw(40, seed=1) if itself else queries
    for k in (1, 3, len(points) - 1):
        found = nearest(queries, points, k=k, itself=itself, chunk=chunk)
        expected = by_loops(queries, points, k=k, itself=itself)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("draw", [normal, grid])
@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_indices_are_of_the_points_at_these_distances(
    draw: Callable[..., Tensor], itself: bool, chunk: int
) -> None:
    queries = draw(30)
    points = draw(40, seed=1) if itself else queries
    found = search(queries, points, k=4, itself=itself, chunk=chunk)
    there = (queries[:, None].double() - points[found.indices].double()).norm(dim=2)
    torch.testing.assert_close(found.distances, there, rtol=1e-14, atol=0)
    assert torch.equal(found.distances, nearest(queries, points, k=4, itself=itself, chunk=chunk))
    for i, row in enumerate(found.indices.tolist()):
        assert len(set(row)) == 4
        assert itself or i not in row


def test_points_that_tie_come_in_their_order() -> None:
    points = torch.tensor([[3.0], [1.0], [-1.0], [0.0], [1.0]])
    found = search(torch.zeros(1, 1), points, k=4)
    assert found.indices.tolist() == [[3, 1, 2, 4]]
    assert found.distances.tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_equal_vectors_are_at_distance_0_whatever_their_length(scale: float) -> None:
    points = scale * normal(20, width=300)
    copies = points.flip(0).clone()
    assert nearest(copies, points, k=1).tolist() == [[0.0]] * 20
    assert (nearest(points, points, k=1, itself=False) > 0).all()


def test_a_duplicate_is_a_neighbour_though_oneself_is_none() -> None:
    points = torch.tensor([[0.0], [0.0], [5.0]])
    found = nearest(points, points, k=2, itself=False)
    assert found.tolist() == [[0, 5], [0, 5], [5, 5]]


def test_near_vectors_far_from_0_are_told_apart() -> None:
    """Their squares, about 10¹², are multiples of 65,536 in float32."""
    points = torch.tensor([[1e6], [1e6 + 10], [1e6 + 11]])
    assert nearest(points, points, k=1, itself=False)[:, 0].tolist() == [10, 1, 1]


def test_wide_vectors_are_taken_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(module, "WIDEST", 100)
    for width, size in ((5, 20), (30, 3), (500, 1)):
        sizes = [part.stop - part.start for part in module.chunks(normal(41, width=width), 2048)]
        assert (max(sizes), sum(sizes)) == (size, 41)


def test_impossible_sets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 nearest neighbours need .* 4 images, got 3; "):
        nearest(normal(3), normal(3), k=3, itself=False)
    with pytest.raises(ValueError, match="need k of at least 1"):
        nearest(normal(3), normal(3), k=0)
    with pytest.raises(ValueError, match=r"of one width D, got \[\(3, 5\), \(4, 6\)\]"):
        nearest(normal(3), normal(4, width=6), k=1)
    with pytest.raises(ValueError, match="must be finite, got 1 NaN"):
        nearest(normal(2), torch.tensor([[0, 1, 2, 3, torch.nan]]), k=1)


def test_neighbours_far_from_zero_are_found() -> None:
    queries, points = (normal(30, seed=seed).double() * 2**10 for seed in (0, 1))
    expected = nearest(queries.round(), points.round(), k=3)
    found = nearest(queries.round() + 2.0**40, points.round() + 2.0**40, k=3)
    assert torch.equal(found, expected)
