"""Text on pictures: numbers as words, text measured, broken into lines, written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
BLACK: Colour = (20, 20, 20)
GREY: Colour = (105, 105, 105)

LARGE, MIDDLE, SMALL = 17, 13, 12
"""Sizes of letters."""

MARGIN, SPACING = 16, 3
"""Around all; between the lines of a text."""


def number(value: float) -> str:
    """Two digits after the point, two significant ones of small values, and a real minus."""
    text = f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"  # noqa: PLR2004
    return text.replace("-", "−")


def significant(value: float) -> str:
    """Three significant digits, and no power of ten for large values."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"  # noqa: PLR2004


def signed(value: float, digits: int | None = None) -> str:
    """With a sign, but for 0; as short as it can be, or with so many digits after the point."""
    text = f"{value:+.3g}" if digits is None else f"{value:+.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has ², ×, σ and λ, from matplotlib's own files."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


@lru_cache(maxsize=10_000)
def extent(text: str, size: int, *, bold: bool = False) -> tuple[int, int]:
    """Width and height of text of one or several lines, in pixels."""
    if not text:
        return 0, 0
    drawing = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = drawing.multiline_textbbox((0, 0), text, font=font(size, bold=bold), spacing=SPACING)
    return int(np.ceil(box[2])), int(np.ceil(box[3])) + 2


def wrapped(text: str, size: int, width: int, *, bold: bool = False) -> str:
    """Text broken into lines of at most `width` pixels, at spaces where there are some."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines.append("")
        for word in line.split():
            longer = f"{lines[-1]} {word}" if lines[-1] else word
            if extent(longer, size, bold=bold)[0] <= width:
                lines[-1] = longer
                continue
            if lines[-1]:
                lines.append("")
            lines[-1:] = _pieces(word, size, width, bold=bold)
    return "\n".join(lines)


def _pieces(word: str, size: int, width: int, *, bold: bool) -> list[str]:
    """A word such as a file's name cut where it would be too wide."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and extent(pieces[-1] + letter, size, bold=bold)[0] > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def heading(title: str, *, width: int) -> np.ndarray:
    """A title on white, uint8 `(H, width, 3)`."""
    return _strip([title], LARGE, width=width, colour=BLACK, above=MARGIN, below=0, bold=True)


def small_print(lines: Sequence[str], *, width: int) -> np.ndarray:
    """What stands beneath a picture, on white, uint8 `(H, width, 3)`."""
    return _strip(lines, SMALL, width=width, colour=GREY, above=0, below=MARGIN // 2)


def _strip(
    texts: Sequence[str],
    size: int,
    *,
    width: int,
    colour: Colour,
    above: int,
    below: int,
    bold: bool = False,
) -> np.ndarray:
    """Texts one beneath the other, wrapped."""
    broken = [wrapped(text, size, width - 2 * MARGIN, bold=bold) for text in texts]
    heights = [extent(text, size, bold=bold)[1] + 2 for text in broken]
    canvas = Image.new("RGB", (width, above + sum(heights) + below), "white")
    draw, top = ImageDraw.Draw(canvas), above
    for text, height in zip(broken, heights, strict=True):
        draw.multiline_text((MARGIN, top), text, colour, font(size, bold=bold), spacing=SPACING)
        top += height
    return np.asarray(canvas)
