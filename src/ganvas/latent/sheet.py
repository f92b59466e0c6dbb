"""Labelled sheets of images: every panel where it was promised, pixels sharp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ganvas.latent.lettering import (
    BLACK,
    GREY,
    LARGE,
    MARGIN,
    MIDDLE,
    SMALL,
    SPACING,
    Colour,
    extent,
    font,
    small_print,
    wrapped,
)
from ganvas.pictures import to_uint8

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, the last two just outside."""

GAP, BAR = 6, 18
"""Between panels; before a column that a bar sets apart."""

CELL, WIDEST = 88, 1600
"""Side that small panels are enlarged to, and width that their sum stays under."""

MOST_PIXELS, LONGEST = 100_000_000, 65_000
"""Of a sheet, in all and a side: what viewers open and a GIF can hold."""

NARROWEST, LABEL, CAPTION = 480, 320, 160
"""Width of a sheet at least, of row labels at most, and of captions (or the image's) at most."""

BLUE: Colour = (31, 84, 200)
"""Of the frame around what was given."""


class Picture(Protocol):
    """What a tool draws."""

    def render(self, footer: Sequence[str] = ()) -> np.ndarray:
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath."""


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
        """The uint8 picture `(H, W, 3)`, with lines of small print beneath.

        Raises:
            ValueError: a panel that holds NaN or infinite values; or too many panels for a file
                that can be opened.
        """
        width, height = self._size
        if width * height > MOST_PIXELS or max(width, height) > LONGEST:
            raise ValueError(
                f"the picture must have at most {LONGEST:,} pixels a side and "
                f"{MOST_PIXELS // 10**6} million in all, got {width:,} × {height:,}; show fewer "
                "images"
            )
        canvas = Image.new("RGB", self._size, "white")
        draw = ImageDraw.Draw(canvas)
        draw.multiline_text(
            (MARGIN, MARGIN), self._title, BLACK, font(LARGE, bold=True), spacing=SPACING
        )
        self._write_labels(draw)
        for row, column, image, (left, top, right, bottom) in self._panels():
            canvas.paste(self._enlarged(image, at=(row, column)), (left, top))
            if (row, column) in self.marked:
                draw.rectangle((left - 3, top - 3, right + 2, bottom + 2), outline=BLUE, width=2)
        return np.concatenate([np.asarray(canvas), small_print(footer, width=canvas.width)])

    def _panels(self) -> Iterator[tuple[int, int, Tensor, Box]]:
        """Row, column, image and its place."""
        height, width = self._side
        for r, row in enumerate(self.rows):
            for c, image in enumerate(row):
                if image is not None:
                    left = self._lefts[c] + (self._widths[c] - width) // 2
                    top = self._tops[r]
                    yield r, c, image, (left, top, left + width, top + height)

    def _enlarged(self, image: Tensor, *, at: tuple[int, int]) -> Image.Image:
        assert tuple(image.shape[1:]) == self.image_size, f"panel {at}: {tuple(image.shape)}"
        if not image.isfinite().all():
            raise ValueError(
                f"the panel in row {at[0] + 1}, column {at[1] + 1} holds NaN or infinite values; "
                "where the model's weights have diverged, choose an earlier checkpoint"
            )
        pixels = to_uint8(image.detach().float().cpu().clamp(0, 1)).transpose(1, 2, 0)
        large = pixels.repeat(self.zoom, 0).repeat(self.zoom, 1)
        return Image.fromarray(large.squeeze(2) if large.shape[2] == 1 else large).convert("RGB")

    # The layout, in pixels; found once, since measuring text takes its time

    @cached_property
    def _side(self) -> tuple[int, int]:
        """Height and width of a panel."""
        height, width = self.image_size
        return height * self.zoom, width * self.zoom

    @cached_property
    def _row_labels(self) -> list[str]:
        """One for each row, perhaps empty, wrapped."""
        labels = [wrapped(label, MIDDLE, LABEL) for label in self.row_labels]
        return labels + [""] * (len(self.rows) - len(labels))

    @cached_property
    def _column_labels(self) -> list[str]:
        """One for each column, perhaps empty, wrapped."""
        widest = max(CAPTION, self._side[1])
        labels = [wrapped(label, MIDDLE, widest) for label in self.column_labels]
        return labels + [""] * (self.num_columns - len(labels))

    @cached_property
    def _captions(self) -> list[list[str]]:
        """One for each panel, perhaps empty, wrapped."""
        widest = max(CAPTION, self._side[1])
        rows = [[wrapped(text, SMALL, widest) for text in row] for row in self.captions]
        rows += [[] for _ in range(len(self.rows) - len(rows))]
        return [row + [""] * (self.num_columns - len(row)) for row in rows]

    @cached_property
    def _left(self) -> int:
        """Where the first column begins: after the row labels."""
        widest = max(extent(label, MIDDLE)[0] for label in self._row_labels)
        return MARGIN + (widest + 2 * GAP if widest else 0)

    @cached_property
    def _widths(self) -> list[int]:
        """Of the columns: of their images, labels and captions."""
        return [
            max(
                self._side[1],
                extent(label, MIDDLE)[0],
                *(extent(row[c], SMALL)[0] for row in self._captions),
            )
            for c, label in enumerate(self._column_labels)
        ]

    @cached_property
    def _lefts(self) -> list[int]:
        gaps = [BAR if c in self.bars else GAP for c in range(1, self.num_columns)]
        steps = [w + gap for w, gap in zip(self._widths, gaps, strict=False)]
        return list(accumulate(steps, initial=self._left))

    @cached_property
    def _heights(self) -> list[int]:
        """Of the rows: of images and captions, or of a label of several lines."""
        return [
            GAP
            + max(self._side[0] + max(extent(c, SMALL)[1] for c in row), extent(label, MIDDLE)[1])
            for row, label in zip(self._captions, self._row_labels, strict=True)
        ]

    @cached_property
    def _tops(self) -> list[int]:
        title = extent(self._title, LARGE, bold=True)[1] + 2 * GAP
        labels = max(extent(label, MIDDLE)[1] for label in self._column_labels)
        return list(accumulate(self._heights, initial=MARGIN + title + labels + GAP))

    @cached_property
    def _right(self) -> int:
        """Where the panels end, or the title of a narrow sheet may."""
        return max(self._lefts[-1] + self._widths[-1], NARROWEST)

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Width and height, without the small print."""
        return self._right + MARGIN, self._tops[-1] + MARGIN // 2

    @cached_property
    def _title(self) -> str:
        return wrapped(self.title, LARGE, self._right - MARGIN, bold=True)

    def _write_labels(self, draw: ImageDraw.ImageDraw) -> None:
        def write(at: tuple[int, int], text: str, size: int, anchor: str, colour: Colour) -> None:
            align = "right" if anchor[0] == "r" else "center"
            draw.multiline_text(
                at, text, colour, font(size), anchor=anchor, align=align, spacing=SPACING
            )

        centres = [left + w // 2 for left, w in zip(self._lefts, self._widths, strict=True)]
        for x, label in zip(centres, self._column_labels, strict=True):
            write((x, self._tops[0] - GAP), label, MIDDLE, "md", BLACK)
        for top, label in zip(self._tops, self._row_labels, strict=False):
            middle = top + max(self._side[0], extent(label, MIDDLE)[1]) // 2
            write((self._left - 2 * GAP, middle), label, MIDDLE, "rm", BLACK)
        for top, row in zip(self._tops, self._captions, strict=False):
            for x, text in zip(centres, row, strict=True):
                write((x, top + self._side[0] + 3), text, SMALL, "ma", GREY)
