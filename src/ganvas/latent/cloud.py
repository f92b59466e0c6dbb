"""Points of the plane coloured by label, for charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganvas.latent.plane import SHARES, Shadow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""Ten that people of all colour vision tell apart (Petroff 2021, arXiv:2107.02270)."""

MARKERS = ("o", "^", "s", "D")
"""Neighbours differ, and so do classes of one colour."""

MOST = len(COLOURS) * len(MARKERS)
"""Classes that have a colour and marker of their own; more are shown by a scale."""

FEW = 10
"""Classes whose names stand in the picture."""

CELLS = 240
"""Along each side, of the grid that contours are found on."""

DARK, PALE = "0.15", "0.6"


def style(index: int) -> tuple[str, str]:
    """Colour and marker of a class; each of the first `MOST` has its own."""
    turn, place = divmod(index, len(COLOURS))
    return COLOURS[place], MARKERS[(index + turn) % len(MARKERS)]


@dataclass(frozen=True)
class Marks:
    """Points `(M, 2)` that were named, with their names."""

    points: Tensor
    names: Sequence[str]


@dataclass(frozen=True)
class Cloud:
    """What a scatter plot shows.

    Attributes:
        points: `(N, 2)`.
        labels: `(N,)` or None.
        axes: names of both.
        shadow: the prior.
        drawn: codes of a prior without a known density in the plane, `(D, 2)`.
        marks: points that were named.
    """

    points: Tensor
    labels: Tensor | None
    axes: tuple[str, str]
    shadow: Shadow | None = None
    drawn: Tensor | None = None
    marks: Marks | None = None

    def paint(self, axes: Axes) -> None:
        """All of it, one unit as long upwards as to the right."""
        low, high = self._window()
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set(xlabel=self.axes[0], ylabel=self.axes[1])
        axes.set_aspect("equal", adjustable="box", anchor="W")
        axes.grid(color="0.93")
        axes.set_axisbelow(True)
        if self.drawn is not None:
            x, y = self.drawn.T.numpy()
            axes.scatter(x, y, s=14, c=PALE, marker="x", lw=0.6)
        if self.labels is None:
            self._points(axes, slice(None), color=COLOURS[0])
        elif len(classes := self.labels.unique().tolist()) > MOST:
            self._scale(axes, self.labels)
        else:
            self._classes(axes, self.labels, classes)
        if self.shadow is not None:
            self._contours(axes, self.shadow, low, high)
        if self.drawn is not None:
            axes.scatter([], [], c=PALE, marker="x", lw=1, label="drawn from\nthe prior")
        if self.marks is not None:
            self._marks(axes, self.marks)
        self._legend(axes)

    def _window(self) -> tuple[list[float], list[float]]:
        """A square around everything, with a margin."""
        parts = [self.points]
        parts += [part for part in (self.drawn,) if part is not None]
        parts += [] if self.marks is None else [self.marks.points]
        parts += [] if self.shadow is None else [self.shadow.extent]
        everything = torch.cat(parts)
        low, high = everything.amin(0), everything.amax(0)
        half = max(float((high - low).max()) * 0.53, 1e-6)
        middle = (low + high) / 2
        return (middle - half).tolist(), (middle + half).tolist()

    @property
    def _size(self) -> float:
        """Of points, in square points: smaller where there are many."""
        return float(min(26, max(5, 12_000 / len(self.points))))

    def _points(self, axes: Axes, which: Any, **style: Any) -> None:
        x, y = self.points[which].T.numpy()
        axes.scatter(x, y, **{"s": self._size, "alpha": 0.8, "lw": 0, **style})

    def _classes(self, axes: Axes, labels: Tensor, classes: Sequence[int]) -> None:
        """Each in its own colour and marker; few are named where they lie."""
        for index, label in enumerate(classes):
            colour, marker = style(index)
            mine = labels == label
            self._points(axes, mine, color=colour, marker=marker, label=str(label))
            if len(classes) <= FEW:
                x, y = self.points[mine].median(0).values.tolist()
                _name(axes, str(label), (x, y), colour=colour)

    def _scale(self, axes: Axes, labels: Tensor) -> None:
        """Too many classes for colours of their own."""
        x, y = self.points.T.numpy()
        axes.scatter(x, y, c=labels.numpy(), cmap="viridis", s=self._size, lw=0)
        bar = axes.figure.colorbar(axes.collections[-1], ax=axes, shrink=0.6)
        bar.set_label("class")

    def _contours(
        self, axes: Axes, shadow: Shadow, low: Sequence[float], high: Sequence[float]
    ) -> None:
        """Lines of equal density, with the share that is within."""
        steps = torch.linspace(0, 1, CELLS, dtype=torch.float64)
        x, y = (low[i] + (high[i] - low[i]) * steps for i in range(2))
        cells = torch.cartesian_prod(y, x).flip(1)
        density = shadow.log_density(cells).unflatten(0, (CELLS, CELLS))
        order = sorted(zip(shadow.levels, SHARES, strict=True))
        lines = axes.contour(
            x.numpy(), y.numpy(), density.numpy(),
            levels=[level for level, _ in order], colors=DARK, linewidths=1.1, linestyles="--",
        )  # fmt: skip
        names = {level: f"{share:.0%}".replace("%", " %") for level, share in order}
        axes.clabel(lines, fmt=names, fontsize=8)
        held = ", ".join(f"{share:.0%}".rstrip("%") for share in sorted(SHARES))
        axes.plot([], [], "--", color=DARK, lw=1.1, label=f"{shadow.name}:\n{held} % of it within")

    def _marks(self, axes: Axes, marks: Marks) -> None:
        from matplotlib.patheffects import withStroke

        x, y = marks.points.T.numpy()
        axes.scatter(x, y, s=70, facecolors="none", edgecolors="black", lw=1.6)
        for at, name in zip(marks.points.tolist(), marks.names, strict=True):
            axes.annotate(
                name, tuple(at), xytext=(7, 5), textcoords="offset points", fontsize=9, zorder=5,
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )  # fmt: skip

    def _legend(self, axes: Axes) -> None:
        """Beside the axes, with large points."""
        from matplotlib.collections import PathCollection

        handles, names = axes.get_legend_handles_labels()
        if not handles:
            return
        title = "class" if self.labels is not None else None
        columns = 1 + len(names) // 22
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, frameon=False,
            title=title, ncols=columns, fontsize=9, columnspacing=0.8, handletextpad=0.4,
        )  # fmt: skip
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set(sizes=[40], alpha=1)


def _name(axes: Axes, text: str, at: Sequence[float], *, colour: str) -> None:
    """A class on a disc of its colour."""
    disc = {"boxstyle": "circle,pad=0.15", "facecolor": colour, "edgecolor": "white", "lw": 1.5}
    axes.text(
        at[0], at[1], text, ha="center", va="center",
        fontsize=10, fontweight="bold", color=_legible(colour), bbox=disc, zorder=4,
    )  # fmt: skip


def _legible(colour: str) -> str:
    """Black or white, whichever is easier to read on it."""
    from matplotlib.colors import to_rgb

    brightness = sum(
        c * part for c, part in zip(to_rgb(colour), (0.299, 0.587, 0.114), strict=True)
    )
    return "black" if brightness > 0.5 else "white"  # noqa: PLR2004
