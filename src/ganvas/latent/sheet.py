"""Labelled sheets of images: every panel where it was promised, pixels sharp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganvas.pictures import to_uint8

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, the last two just outside."""

MARGIN, GAP, BAR = 16, 6, 18
"""Around a sheet; between panels; before a column that a bar sets apart."""

CELL, WIDEST = 88, 1600
"""Side that small panels are enlarged to, and width that their sum stays under."""

LARGE, MIDDLE, SMALL = 17, 13, 12
BLACK, GREY, BLUE = (20, 20, 20), (105, 105, 105), (31, 84, 200)


class Picture(Protocol):
    """What a tool draws."""

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath."""


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has ², ×, σ and λ, from matplotlib's own files."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def extent(text: str, size: int, *, bold: bool = False) -> tuple[int, int]:
    """Width and height of text of one or several lines, in pixels."""
    if not text:
        return 0, 0
    drawing = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = drawing.multiline_textbbox((0, 0), text, font=font(size, bold=bold), spacing=3)
    return int(np.ceil(box[2])), int(np.ceil(box[3])) + 2


def wrapped(text: str, size: int, width: int, *, bold: bool = False) -> str:
    """Text broken at spaces into lines of at most `width` pixels; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        if lines and extent(f"{lines[-1]} {word}", size, bold=bold)[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


@dataclass(frozen=True)
class Sheet:
    """Rows of panels under a title.

    Attributes:
        title: what is seen.
        rows: of panels; each an image `(C, H, W)` in [0, 1], all of one shape, or None for a gap.
        row_labels: to the left of each row.
        column_labels: above each column.
        captions: beneath the panels, in their arrangement; a caption may have several lines.
        marked: (row, column) of panels with a blue frame: what was given, not made.
        bars: columns that a wider gap is put before.
    """

    title: str
    rows: Sequence[Sequence[Tensor | None]]
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    captions: Sequence[Sequence[str]] = ()
    marked: frozenset[tuple[int, int]] = frozenset()
    bars: Sequence[int] = ()

    @property
    def zoom(self) -> int:
        """The factor that small images are enlarged by."""
        longest = max(self.image_size)
        return max(1, min(CELL // longest, WIDEST // (self.num_columns * longest)))

    @property
    def num_columns(self) -> int:
        """Of the longest row."""
        return max(len(row) for row in self.rows)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, not enlarged."""
        first = next(image for row in self.rows for image in row if image is not None)
        return first.shape[1], first.shape[2]

    @property
    def boxes(self) -> dict[tuple[int, int], Box]:
        """Where the image of each (row, column) stands in the picture."""
        return {(r, c): box for r, c, _, box in self._panels()}

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath."""
        width, height = self._size()
        small = [wrapped(line, SMALL, width - 2 * MARGIN) for line in footer]
        below = sum(extent(text, SMALL)[1] + 2 for text in small)
        canvas = Image.new("RGB", (width, height + below), "white")
        draw = ImageDraw.Draw(canvas)
        draw.multiline_text((MARGIN, MARGIN), self._title(), BLACK, font(LARGE, bold=True))
        self._write_labels(draw)
        for row, column, image, (left, top, right, bottom) in self._panels():
            canvas.paste(self._enlarged(image), (left, top))
            if (row, column) in self.marked:
                draw.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=BLUE, width=2)
        for text in small:
            draw.multiline_text((MARGIN, height - MARGIN // 2), text, GREY, font(SMALL), spacing=3)
            height += extent(text, SMALL)[1] + 2
        return np.asarray(canvas)

    def _panels(self) -> Iterator[tuple[int, int, Tensor, Box]]:
        """Row, column, image and its place."""
        height, width = (side * self.zoom for side in self.image_size)
        for r, row in enumerate(self.rows):
            for c, image in enumerate(row):
                if image is not None:
                    left = self._lefts[c] + (self._widths[c] - width) // 2
                    top = self._tops[r]
                    yield r, c, image, (left, top, left + width, top + height)

    def _enlarged(self, image: Tensor) -> Image.Image:
        pixels = to_uint8(image.detach().float().cpu().clamp(0, 1)).transpose(1, 2, 0)
        large = pixels.repeat(self.zoom, 0).repeat(self.zoom, 1)
        return Image.fromarray(large.squeeze(2) if large.shape[2] == 1 else large).convert("RGB")

    # The layout, in pixels

    def _caption(self, row: int, column: int) -> str:
        given = self.captions[row] if row < len(self.captions) else ()
        return given[column] if column < len(given) else ""

    @property
    def _left(self) -> int:
        """Where the first column begins: after the row labels."""
        widest = max((extent(label, MIDDLE)[0] for label in self.row_labels), default=0)
        return MARGIN + (widest + 2 * GAP if widest else 0)

    @property
    def _widths(self) -> list[int]:
        """Of the columns: of their images, labels and captions."""
        image = self.image_size[1] * self.zoom
        labels = [*self.column_labels, *[""] * self.num_columns]
        return [
            max(
                image,
                extent(labels[c], MIDDLE)[0],
                *(extent(self._caption(r, c), SMALL)[0] for r in range(len(self.rows))),
            )
            for c in range(self.num_columns)
        ]

    @property
    def _lefts(self) -> list[int]:
        gaps = [BAR if c in self.bars else GAP for c in range(1, self.num_columns)]
        steps = [w + gap for w, gap in zip(self._widths, gaps, strict=False)]
        return list(accumulate(steps, initial=self._left))

    @property
    def _heights(self) -> list[int]:
        """Of the rows: of images and captions, or of a label of several lines."""
        image = self.image_size[0] * self.zoom
        captions = [
            max((extent(self._caption(r, c), SMALL)[1] for c in range(len(row))), default=0)
            for r, row in enumerate(self.rows)
        ]
        labels = [extent(label, MIDDLE)[1] for label in self.row_labels]
        labels += [0] * (len(self.rows) - len(labels))
        return [max(image + c, label) + GAP for c, label in zip(captions, labels, strict=True)]

    @property
    def _tops(self) -> list[int]:
        title = extent(self._title(), LARGE, bold=True)[1] + 2 * GAP
        labels = max((extent(label, MIDDLE)[1] for label in self.column_labels), default=0)
        return list(accumulate(self._heights, initial=MARGIN + title + labels + GAP))

    def _right(self) -> int:
        return self._lefts[-1] + self._widths[-1]

    def _size(self) -> tuple[int, int]:
        """Width and height, without the small print."""
        return max(self._right(), 480) + MARGIN, self._tops[-1] + MARGIN

    def _title(self) -> str:
        return wrapped(self.title, LARGE, max(self._right(), 480) - MARGIN, bold=True)

    def _write_labels(self, draw: ImageDraw.ImageDraw) -> None:
        height, plain = self.image_size[0] * self.zoom, font(MIDDLE)
        for c, label in enumerate(self.column_labels):
            at = (self._lefts[c] + self._widths[c] // 2, self._tops[0] - GAP)
            draw.multiline_text(at, label, BLACK, plain, anchor="md", align="center", spacing=3)
        for r, label in enumerate(self.row_labels):
            at = (self._left - 2 * GAP, self._tops[r] + height // 2)
            draw.multiline_text(at, label, BLACK, plain, anchor="rm", align="right", spacing=3)
        for r, row in enumerate(self.rows):
            for c in range(len(row)):
                if text := self._caption(r, c):
                    at = (self._lefts[c] + self._widths[c] // 2, self._tops[r] + height + 3)
                    draw.multiline_text(
                        at, text, GREY, font(SMALL), anchor="ma", align="center", spacing=3
                    )
