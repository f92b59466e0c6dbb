"""Nearest neighbours among vectors: exact, and in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ganvas.metrics.feature_metric import check_finite

CHUNK = 2048
"""Vectors of either side whose distances are in memory together."""

WIDEST = 2**23
"""Numbers that such a chunk may have; wide vectors are taken in smaller ones."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies nearest to each of N queries.

    Attributes:
        distances: ascending, float64 `(N, k)`.
        indices: of the points at these distances, int64 `(N, k)`; ascending where distances tie.
    """

    distances: Tensor
    indices: Tensor


def nearest(
    queries: Tensor, points: Tensor, *, k: int, itself: bool = True, chunk: int = CHUNK
) -> Tensor:
    """Distances of each query from its k nearest points, ascending, float64 `(N, k)`.

    See `search`, which says which points they are.
    """
    return search(queries, points, k=k, itself=itself, chunk=chunk).distances


def search(
    queries: Tensor, points: Tensor, *, k: int, itself: bool = True, chunk: int = CHUNK
) -> Found:
    """The k nearest points of each query.

    All points are searched. The nearest are found by ‖x‖² + ‖y‖² − 2 x·y in float64, with lengths
    from the points' mean, and their distances are then computed anew from the difference x − y:
    equal vectors are at distance 0, whatever their length.

    Args:
        queries: `(N, D)`, floats or integers.
        points: `(M, D)`.
        k: how many.
        itself: whether query i may be its own neighbour; if not, point i is left out for it.
        chunk: vectors taken at once, of no effect but on speed and memory.

    Raises:
        ValueError: if there are fewer than k points (k + 1 where one is left out), widths differ
            or a value is not finite.
    """
    check_vectors(queries, points)
    least = k if itself else k + 1
    if k < 1 or len(points) < least:
        raise ValueError(
            f"{k} nearest neighbours need k of at least 1 and at least {least} images, got "
            f"{len(points)}; give more images or choose a smaller k"
        )
    center = center_of(points)
    found = [
        _search(
            queries[rows].double(),
            points,
            center,
            k=k,
            first=None if itself else rows.start,
            chunk=chunk,
        )
        for rows in chunks(queries, chunk)
    ]
    return Found(
        torch.cat([part.distances for part in found]), torch.cat([part.indices for part in found])
    )


def _search(
    x: Tensor, points: Tensor, center: Tensor, *, k: int, first: int | None, chunk: int
) -> Found:
    """For one chunk of queries; query i is point first + i, which is left out."""
    best = torch.full((len(x), k), torch.inf, dtype=x.dtype, device=x.device)
    indices = torch.zeros((len(x), k), dtype=torch.long, device=x.device)
    for columns in chunks(points, chunk):
        y = points[columns].double()
        distances = squared_distances(x - center, y - center)
        if first is not None:
            distances.diagonal(first - columns.start).fill_(torch.inf)
        near = distances.topk(min(k, len(y)), largest=False)
        numbers = torch.cat([indices, near.indices + columns.start], 1)
        best, order = torch.cat([best, near.values], 1).topk(k, largest=False)
        indices = numbers.gather(1, order)
    indices = indices.sort(1).values
    exact = [(x - points[column].double()).square().sum(1) for column in indices.T]
    squares, order = torch.stack(exact, 1).sort(dim=1, stable=True)
    return Found(squares.sqrt(), indices.gather(1, order))


def center_of(vectors: Tensor) -> Tensor:
    """The mean `(D,)` in float64: around it, lengths are no more than they must be.

    ‖x‖² + ‖y‖² − 2 x·y loses the digits of a distance that is small beside the lengths.
    """
    sums = [vectors[rows].double().sum(0) for rows in chunks(vectors, CHUNK)]
    return torch.stack(sums).sum(0) / len(vectors)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """‖x‖² + ‖y‖² − 2 x·y, `(B, C)` for x `(B, D)` and y `(C, D)`, with the rounding of it."""
    return torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True))


def chunks(vectors: Tensor, size: int) -> Iterator[slice]:
    """Of at most so many vectors each, and of fewer if they are wide."""
    step = max(1, min(size, WIDEST // vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield slice(start, min(start + step, len(vectors)))


def check_vectors(*sets: Tensor) -> None:
    """Each set is `(N, D)` with the same D, and finite.

    Raises:
        ValueError: if one is not.
    """
    shapes = [tuple(vectors.shape) for vectors in sets]
    if any(shape[1:] != (shapes[0][-1],) for shape in shapes):
        raise ValueError(f"features must be (N, D) of one width D, got {shapes}")
    for vectors in sets:
        check_finite(vectors, name="features")
