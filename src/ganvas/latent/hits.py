"""What a search finds by code and by pixels, and how alike the two are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ganvas.metrics.nearest import Found, search

if TYPE_CHECKING:
    from ganvas.latent.inputs import Inputs

Metric = Literal["euclidean", "cosine"]


def nearest_codes(queries: Tensor, codes: Tensor, *, k: int, metric: Metric) -> Found:
    """The k nearest of codes `(M, Z)` for each of queries `(N, Z)`.

    The cosine distance 1 − cos(x, y) is half the squared Euclidean one of x/|x| and y/|y|.

    Raises:
        ValueError: if a code has no direction and `metric` is "cosine", or there are fewer than k.
    """
    if metric == "euclidean":
        return search(queries, codes, k=k)
    found = search(_directions(queries), _directions(codes), k=k)
    return Found(found.distances.square() / 2, found.indices)


def _directions(codes: Tensor) -> Tensor:
    codes = codes.double()
    lengths = codes.norm(dim=1, keepdim=True)
    if zeros := int((lengths == 0).sum()):
        raise ValueError(
            f"metric=cosine: codes must have a direction, got {zeros} of length 0; "
            "take tool.metric=euclidean"
        )
    return codes / lengths


def without(found: Found, own: Sequence[int | None]) -> Found:
    """One neighbour less for each query: itself, where it is among them, else the farthest.

    Args:
        found: of N queries.
        own: the index of each query among the points; None where it is not one of them.
    """
    k = found.indices.shape[1] - 1
    mine = torch.tensor([-1 if i is None else i for i in own])[:, None]
    is_own = found.indices == mine
    is_own[~is_own.any(1), k] = True
    distances, indices = found.distances[~is_own], found.indices[~is_own]
    return Found(distances.unflatten(0, (-1, k)), indices.unflatten(0, (-1, k)))


@dataclass(frozen=True)
class Hits:
    """What was found.

    Attributes:
        queries: N images.
        own: the index of each among the searched images; None where it is not one of them.
        y: classes of the searched images, or None.
        num: of searched images.
        by_code: k neighbours of each query.
        by_pixels: the same by pixels.
    """

    queries: Inputs
    own: Sequence[int | None]
    y: Tensor | None
    num: int
    by_code: Found
    by_pixels: Found

    @cached_property
    def known(self) -> Tensor:
        """Which queries have a class that can be compared, bool `(N,)`."""
        if self.queries.y is None or self.y is None:
            return torch.zeros(len(self.queries), dtype=torch.bool)
        return self.queries.y.cpu() >= 0

    def same_class(self, found: Found) -> Tensor:
        """Whether each neighbour has its query's class, bool `(N, k)`."""
        assert self.y is not None
        assert self.queries.y is not None
        return self.y[found.indices] == self.queries.y.cpu()[:, None]

    @cached_property
    def in_both(self) -> Tensor:
        """How many neighbours are in both lists, int64 `(N,)`."""
        code, pixels = self.by_code.indices, self.by_pixels.indices
        return (code[:, :, None] == pixels[:, None, :]).sum((1, 2))

    @property
    def values(self) -> dict[str, float]:
        """Shares over all queries, those of classes over the queries whose class is known."""
        k = self.by_code.indices.shape[1]
        found = {"queries": len(self.queries), "in_both": self.in_both.double().mean().item() / k}
        if not self.known.any():
            return found
        assert self.queries.y is not None
        for name, part in (("code", self.by_code), ("pixels", self.by_pixels)):
            same = self.same_class(part)[self.known].double()
            found[f"same_class_by_{name}"] = same.mean().item()
        chance = [(self.y == label).double().mean() for label in self.queries.y[self.known]]
        found["same_class_by_chance"] = torch.stack(chance).mean().item()
        return found

    def summary(self, of: str) -> str:
        """The values in words."""
        found = {name: f"{100 * value:.0f} %" for name, value in self.values.items()}
        words = [f"{found['in_both']} of neighbours are in both lists"]
        if self.known.any():
            num = int(self.known.sum())
            some = "" if num == len(self.known) else f" (of {num} with a class)"
            words.append(
                f"{found['same_class_by_code']} by code have the query's class, "
                f"{found['same_class_by_pixels']} by pixels, "
                f"{found['same_class_by_chance']} by chance{some}"
            )
        return f"{of}: {'; '.join(words)}"

    def label(self, index: int, *, by_code: bool) -> str:
        """Of a row."""
        found = self.by_code if by_code else self.by_pixels
        k = found.indices.shape[1]
        lines = ["by code" if by_code else "by pixels"]
        if self.known[index]:
            lines.append(f"{int(self.same_class(found)[index].sum())} of {k} of its class")
        if not by_code:
            lines.append(f"{int(self.in_both[index])} of {k} in both")
        return "\n".join(lines)

    def caption(self, index: int, column: int, found: Found) -> str:
        """Of a neighbour: which image it is, its distance and class."""
        position, distance = found.indices[index, column], found.distances[index, column]
        lines = [f"{int(position)} · {distance:.3g}"]
        if self.y is not None:
            mark = ""
            if self.known[index]:
                mark = " ✓" if self.same_class(found)[index, column] else " ✗"
            lines.append(f"class {int(self.y[position])}{mark}")
        return "\n".join(lines)
