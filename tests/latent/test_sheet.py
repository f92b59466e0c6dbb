"""Every panel stands where it was promised, and no text on another's place or off the edge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.latent.lettering import extent, heading, significant, small_print, wrapped
from ganvas.latent.sheet import BAR, BLUE, CELL, GAP, WIDEST, Box, Sheet
from ganvas.pictures import to_uint8

WORDS = "a title of many words that says what is seen in all of the panels beneath it "
FILE = "/a/folder/with/a_file_of_a_very_long_name_without_any_space_in_it.png"


def panel(seed: int, *, channels: int = 1, height: int = 8, width: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, height, width, generator=generator)


def rows(num: int = 2, columns: int = 3, **shape: int) -> list[list[Tensor]]:
    return [[panel(columns * r + c, **shape) for c in range(columns)] for r in range(num)]


def at(picture: np.ndarray, box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def enlarged(image: Tensor, factor: int) -> np.ndarray:
    pixels = to_uint8(image).transpose(1, 2, 0).repeat(factor, 0).repeat(factor, 1)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def clean_edges(picture: np.ndarray, width: int = 6) -> bool:
    """Whether nothing is cut off: the rim is white."""
    rim = np.ones(picture.shape[:2], dtype=bool)
    rim[width:-width, width:-width] = False
    return bool((picture[rim] == 255).all())


SHEETS = {
    "bare": Sheet("Bare", rows()),
    "colour": Sheet("Colour", rows(channels=3)),
    "oblong": Sheet("Oblong", rows(height=5, width=9)),
    "large": Sheet("Large", rows(channels=3, height=120, width=90)),
    "one": Sheet(WORDS, rows(1, 1)),
    "labels": Sheet(
        WORDS * 3,
        rows(),
        row_labels=[
            "short",
            f"{FILE} → {FILE}\nlinear\nand\nmore\nlines\nthan\nthe\nimage\nis high",
        ],
        column_labels=["from", WORDS, ""],
        captions=[["one\ntwo", FILE], [WORDS, "", "x"]],
        marked=frozenset({(0, 0), (1, 2)}),
        bars=(1, 2),
    ),
    "fewer": Sheet("Fewer", rows(), row_labels=["a"], column_labels=["b"], captions=[["c"]]),
    "ragged": Sheet("Ragged", [[panel(0), None, panel(1)], [panel(2)], [None, panel(3)]]),
}


@pytest.mark.parametrize("name", SHEETS)
def test_panels_stand_in_their_boxes(name: str) -> None:
    sheet = SHEETS[name]
    picture = sheet.render(["small print " * 40, FILE * 4])
    assert picture.dtype == np.uint8
    shown = {(r, c) for r, row in enumerate(sheet.rows) for c, i in enumerate(row) if i is not None}
    assert sheet.boxes.keys() == shown
    for (r, c), box in sheet.boxes.items():
        image = sheet.rows[r][c]
        assert image is not None
        np.testing.assert_array_equal(at(picture, box), enlarged(image, sheet.zoom))
    assert all(apart(a, b) for a, b in itertools.combinations(sheet.boxes.values(), 2))
    assert clean_edges(picture)


@pytest.mark.parametrize("name", SHEETS)
def test_no_ink_but_frames_within_the_gap_around_panels(name: str) -> None:
    """Labels and captions keep off the panels: what is left of the picture is not beneath one."""
    sheet = SHEETS[name]
    with_text = sheet.render()
    for left, top, right, bottom in sheet.boxes.values():
        for ring in (with_text[top - 1, left:right], with_text[bottom, left:right]):
            assert {tuple(int(v) for v in pixel) for pixel in ring} <= {(255, 255, 255), BLUE}


def test_columns_and_rows_are_straight() -> None:
    boxes = SHEETS["labels"].boxes
    assert all(boxes[0, c][0] == boxes[1, c][0] for c in range(3))
    assert all(len({boxes[r, c][1] for c in range(3)}) == 1 for r in range(2))
    assert all(boxes[0, c][2] <= boxes[0, c + 1][0] for c in range(2))


def test_panels_stand_in_the_middle_of_their_captions() -> None:
    sheet = Sheet("Middle", rows(1, 2), captions=[["", "a caption wider than it"]])
    picture = sheet.render()
    left, _, right, bottom = sheet.boxes[0, 1]
    ink = np.nonzero((picture[bottom:] < 255).any((0, 2)))[0]
    assert ink.min() < left < right < ink.max()
    assert abs((ink.min() + ink.max()) - (left + right)) <= 4


def test_a_gap_keeps_its_place() -> None:
    boxes = SHEETS["ragged"].boxes
    step = boxes[2, 1][0] - boxes[1, 0][0]
    assert boxes[0, 2][0] - boxes[0, 0][0] == 2 * step


def test_bars_widen_the_gap_before_a_column() -> None:
    boxes = Sheet("Bars", rows(1, 4), bars=(0, 2)).boxes
    gaps = [boxes[0, c][0] - boxes[0, c - 1][2] for c in range(1, 4)]
    assert gaps == [GAP, BAR, GAP]


def test_marks_are_frames_around_panels() -> None:
    sheet = Sheet("Marks", rows(), marked=frozenset({(1, 1)}))
    picture, without = sheet.render(), Sheet("Marks", rows()).render()
    changed = (picture != without).any(2)
    left, top, right, bottom = sheet.boxes[1, 1]
    assert {tuple(pixel) for pixel in picture[changed].tolist()} == {BLUE}
    inside = np.zeros_like(changed)
    inside[top - 3 : bottom + 3, left - 3 : right + 3] = True
    assert changed[inside].any()
    assert not changed[~inside].any()
    assert not changed[top:bottom, left:right].any()


@pytest.mark.parametrize(("side", "columns"), [(1, 3), (8, 9), (28, 11), (64, 20), (600, 2)])
def test_small_images_are_enlarged_by_a_whole_factor(side: int, columns: int) -> None:
    zoom = Sheet("Zoom", rows(1, columns, height=side, width=side)).zoom
    assert zoom == 1 or (zoom * side <= CELL and zoom * side * columns <= WIDEST)
    assert (zoom + 1) * side > CELL or (zoom + 1) * side * columns > WIDEST


@pytest.mark.parametrize("part", ["title", "row_labels", "column_labels", "captions", "footer"])
def test_every_text_is_seen(part: str) -> None:
    """A text that is longer by a word gives another picture, wherever it stands."""
    for text in ("word", WORDS, FILE, "two\nlines"):
        first, second = (
            _with(part, longer).render([longer] if part == "footer" else [])
            for longer in (text, f"{text} MORE")
        )
        assert first.shape != second.shape or (first != second).any()
        assert clean_edges(second)


def _with(part: str, text: str) -> Sheet:
    given = {
        "title": {"title": text},
        "row_labels": {"row_labels": ["", text]},
        "column_labels": {"column_labels": ["", "", text]},
        "captions": {"captions": [[], ["", "", text]]},
        "footer": {},
    }
    return Sheet(**{"title": "Title", "rows": rows(), **given[part]})  # type: ignore[arg-type]


def test_small_print_leaves_the_panels_where_they_are() -> None:
    sheet = SHEETS["labels"]
    plain, printed = sheet.render(), sheet.render(["one", WORDS * 5])
    height = plain.shape[0] - small_print([], width=plain.shape[1]).shape[0]
    np.testing.assert_array_equal(plain[:height], printed[:height])
    assert (printed[height:] != 255).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_panel_of_nan_is_refused(value: float) -> None:
    bad = rows()
    bad[1][2][0, 3, 3] = value
    with pytest.raises(ValueError, match=r"row 2, column 3 holds NaN.*earlier checkpoint"):
        Sheet("NaN", bad).render()


def test_values_beyond_the_range_are_cut() -> None:
    sheet = Sheet("Range", [[torch.full((1, 8, 8), 1.5), torch.full((1, 8, 8), -0.5)]])
    picture = sheet.render()
    assert at(picture, sheet.boxes[0, 0]).min() == 255
    assert at(picture, sheet.boxes[0, 1]).max() == 0


@pytest.mark.parametrize("text", [WORDS * 4, FILE, f"{WORDS}{FILE} {WORDS}", "a\n\nb", "", " x "])
@pytest.mark.parametrize("width", [60, 200, 1000])
def test_wrapped_text_fits_and_loses_nothing(text: str, width: int) -> None:
    lines = wrapped(text, 12, width)
    assert extent(lines, 12)[0] <= width
    assert "".join(lines.split()) == "".join(text.split())
    assert wrapped(lines, 12, width) == lines


def test_lines_are_kept() -> None:
    assert wrapped("incomprehensibilities", 12, 40).split("\n")[0] != ""
    assert wrapped("one two\nthree\n\nfour", 12, 1000) == "one two\nthree\n\nfour"


@pytest.mark.parametrize("strip", [heading, lambda text, width: small_print([text], width=width)])
def test_strips_grow_with_their_text(strip: object) -> None:
    short, long = strip("one", width=400), strip(WORDS * 6, width=400)  # type: ignore[operator]
    assert short.shape[1] == long.shape[1] == 400
    assert short.shape[0] < long.shape[0]
    assert (long[:, [*range(6), *range(-6, 0)]] == 255).all()


def test_a_sheet_that_no_viewer_would_open_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the picture must have at most 65,000 pixels a side"):
        Sheet("title", [[panel(0)]] * 1000).render()


def test_significant_digits() -> None:
    values = (0.0123, 1.25, 12.34, 999.4, 999.6, 1428.6, -12345)
    words = ["0.0123", "1.25", "12.3", "999", "1,000", "1,429", "-12,345"]
    assert [significant(value) for value in values] == words
