"""Charts with axes, by matplotlib without a window or a global state; pictures in a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganvas.latent.sheet import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI, INCH_OF_LINE = 110, 0.2


@dataclass(frozen=True)
class Chart:
    """One pair of axes under a title.

    Attributes:
        title: what is seen.
        paint: draws on the axes, and names them.
        width: of the picture, in inches of 110 pixels.
        height: without the small print.
    """

    title: str
    paint: Callable[[Axes], None]
    width: float = 8.0
    height: float = 6.5

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath."""
        import textwrap

        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        lines = [part for line in footer for part in textwrap.wrap(line, int(self.width * 16))]
        below = INCH_OF_LINE * len(lines) + 0.1 * bool(lines)
        height = self.height + below
        figure = Figure(figsize=(self.width, height), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        left, bottom, right, top = 0.9, below + 0.7, 0.3, 0.6  # inches
        size = 1 - (left + right) / self.width, 1 - (bottom + top) / height
        axes = figure.add_axes((left / self.width, bottom / height, *size))
        axes.set_title(self.title, loc="left", fontweight="bold", fontsize=12)
        self.paint(axes)
        if lines:
            at = (0.15 / self.width, 0.1 / height)
            figure.text(*at, "\n".join(lines), fontsize=7.5, color="0.4", va="bottom")
        canvas.draw()
        return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


@dataclass(frozen=True)
class Stack:
    """Pictures one above the other, with one small print.

    Attributes:
        pictures: from top to bottom.
    """

    pictures: Sequence[Picture]

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath the last one."""
        parts = [picture.render() for picture in self.pictures[:-1]]
        parts.append(self.pictures[-1].render(footer))
        widest = max(part.shape[1] for part in parts)
        wide = [
            np.pad(part, ((0, 0), (0, widest - part.shape[1]), (0, 0)), constant_values=255)
            for part in parts
        ]
        return np.concatenate(wide)
