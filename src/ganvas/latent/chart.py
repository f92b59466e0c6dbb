"""Charts with axes, by matplotlib without a window or a global state; pictures in a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganvas.latent.lettering import heading, small_print
from ganvas.latent.sheet import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110
LEFT, BOTTOM, RIGHT, TOP, TITLE = 0.9, 0.7, 0.3, 0.15, 0.45
"""Inches around the axes, and of the title above."""


@dataclass(frozen=True)
class Chart:
    """One pair of axes under a title.

    Attributes:
        title: what is seen.
        paint: draws on the axes, and names them.
        width: of the picture, in inches of 110 pixels.
        height: with a title of one line, without the small print.
    """

    title: str
    paint: Callable[[Axes], None]
    width: float = 8.0
    height: float = 6.5

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width, height = self.width, self.height - TITLE
        figure = Figure(figsize=(width, height), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        size = 1 - (LEFT + RIGHT) / width, 1 - (BOTTOM + TOP) / height
        self.paint(figure.add_axes((LEFT / width, BOTTOM / height, *size)))
        canvas.draw()
        plot = np.asarray(canvas.buffer_rgba())[..., :3]
        above = heading(self.title, width=plot.shape[1])
        return np.concatenate([above, plot, small_print(footer, width=plot.shape[1])])


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
