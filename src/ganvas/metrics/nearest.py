"""Nearest neighbours and balls among vectors: exact, and in little memory."""

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

ROUNDING = 2.0**-40
"""More than the relative error of a squared distance in float64."""


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest points of each query.

    Attributes:
        distances: Euclidean, ascending, float64 `(N, k)`.
        indices: of the points, int64 `(N, k)`; among equally near ones, any.
    """

    distances: Tensor
    indices: Tensor


@dataclass(frozen=True, slots=True)
class Hits:
    """Which balls contain which points.

    Attributes:
        balls: how many balls contain each point, int64 `(N,)`.
        hit: whether each ball contains any point, bool `(M,)`.
    """

    balls: Tensor
    hit: Tensor


def nearest(
    queries: Tensor, points: Tensor, *, k: int, itself: bool = True, chunk: int = CHUNK
) -> Neighbors:
    """The k nearest points of each query, by search through all.

    Candidates are chosen by ‖y‖² − 2 x·y in float64, whose distances are then computed anew from
    the difference x − y: equal vectors are at distance 0, whatever their length.

    Args:
        queries: `(N, D)`.
        points: `(M, D)`.
        k: how many.
        itself: whether query i may be its own neighbour; if not, point i is left out for it.
        chunk: vectors taken at once, of no effect but on speed and memory.

    Raises:
        ValueError: if there are fewer than k points (k + 1 where one is left out), widths differ
            or a value is not finite.
    """
    _check(queries, points)
    least = k if itself else k + 1
    if k < 1 or len(points) < least:
        raise ValueError(
            f"{k} nearest neighbours need k of at least 1 and at least {least} images, got "
            f"{len(points)}; give more images or choose a smaller k"
        )
    found = [
        _nearest(queries[rows], points, k=k, first=None if itself else rows.start, chunk=chunk)
        for rows in _chunks(queries, chunk)
    ]
    return Neighbors(
        torch.cat([each.distances for each in found]), torch.cat([each.indices for each in found])
    )


def hits(points: Tensor, centers: Tensor, radii: Tensor, *, chunk: int = CHUNK) -> Hits:
    """Which closed balls ‖x − y‖ ≤ r contain which points.

    Each r² is widened by 2⁻⁴⁰ (‖y‖ + r)², more than rounding amounts to, so that a point on the
    surface is inside however its distance is rounded.

    Args:
        points: x, `(N, D)`.
        centers: y, `(M, D)`.
        radii: r, `(M,)`.
        chunk: vectors taken at once, of no effect but on speed and memory.

    Raises:
        ValueError: if widths differ or a value is not finite.
    """
    _check(points, centers)
    balls = torch.zeros(len(points), dtype=torch.long, device=points.device)
    hit = torch.zeros(len(centers), dtype=torch.bool, device=points.device)
    for columns in _chunks(centers, chunk):
        y, r = centers[columns].double(), radii[columns].double()
        lengths = y.square().sum(1)
        bound = lengths - r.square() - ROUNDING * (lengths.sqrt() + r).square()
        for rows in _chunks(points, chunk):
            x = points[rows].double()
            inside = torch.addmm(bound, x, y.T, alpha=-2) <= -x.square().sum(1, keepdim=True)
            balls[rows] += inside.sum(1, dtype=torch.int32)  # many times faster than int64
            hit[columns] |= inside.any(0)
    return Hits(balls, hit)


def _nearest(
    queries: Tensor, points: Tensor, *, k: int, first: int | None, chunk: int
) -> Neighbors:
    """For one chunk of queries; query i is point first + i, which is left out."""
    x = queries.double()
    best = torch.full((len(x), k), torch.inf, dtype=x.dtype, device=x.device)
    indices = torch.zeros((len(x), k), dtype=torch.long, device=x.device)
    for columns in _chunks(points, chunk):
        y = points[columns].double()
        scores = torch.addmm(y.square().sum(1), x, y.T, alpha=-2)
        if first is not None:
            scores.diagonal(first - columns.start).fill_(torch.inf)
        near = scores.topk(min(k, len(y)), largest=False)
        numbers = torch.cat([indices, near.indices + columns.start], 1)
        best, order = torch.cat([best, near.values], 1).topk(k, largest=False)
        indices = numbers.gather(1, order)
    exact = [(x - points[column].double()).square().sum(1) for column in indices.T]
    squares, order = torch.stack(exact, 1).sort(1)
    return Neighbors(squares.sqrt(), indices.gather(1, order))


def _chunks(vectors: Tensor, size: int) -> Iterator[slice]:
    step = max(1, min(size, WIDEST // vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield slice(start, min(start + step, len(vectors)))


def _check(*sets: Tensor) -> None:
    shapes = [tuple(vectors.shape) for vectors in sets]
    if any(shape[1:] != (shapes[0][-1],) for shape in shapes):
        raise ValueError(f"features must be (N, D) of one width D, got {shapes}")
    for vectors in sets:
        check_finite(vectors, name="features")
