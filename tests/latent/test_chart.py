"""Charts of axes, and pictures one above the other."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from ganvas.latent.chart import DPI, Chart, Stack
from ganvas.latent.sheet import Sheet

WORDS = "a title of many words that says what is seen in all of the axes beneath it "
RED = (255, 0, 0)


def fill(axes: Axes) -> None:
    """All of the axes in red."""
    axes.set_facecolor("red")
    axes.set_xlim(0, 1)
    axes.set_xlabel("to the right")
    axes.set_ylabel("upwards")


def red(picture: np.ndarray) -> np.ndarray:
    return (picture == RED).all(2)


def test_size_and_axes() -> None:
    picture = Chart("Title", fill, width=6, height=4).render()
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 6 * DPI
    assert abs(picture.shape[0] - 4 * DPI) <= 12
    rows, columns = np.nonzero(red(picture))
    box = red(picture)[rows.min() + 2 : rows.max() - 6, columns.min() + 6 : columns.max() - 2]
    assert box.all()
    assert box.size > picture[..., 0].size / 2


def test_same_again() -> None:
    chart = Chart("Title", fill)
    np.testing.assert_array_equal(chart.render(["print"]), chart.render(["print"]))


@pytest.mark.parametrize("text", [WORDS * 3, "a_word_without_spaces/" * 20])
def test_long_titles_and_small_print_leave_the_axes_and_stay_inside(text: str) -> None:
    short, long = Chart("Title", fill).render(["print"]), Chart(text, fill).render([text, text])
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]
    assert red(long).sum() == red(short).sum()
    rim = np.ones(long.shape[:2], dtype=bool)
    rim[4:-4, 4:-4] = False
    assert (long[rim] == 255).all()


def test_no_window_and_no_global_state() -> None:
    Chart("Title", fill).render()
    import matplotlib

    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
    assert not matplotlib.rcParams["interactive"]


def test_a_stack_holds_its_pictures_and_one_small_print() -> None:
    chart = Chart("Chart", fill, width=5, height=3)
    sheet = Sheet("Sheet", [[torch.rand(1, 8, 8)] * 3])
    whole = Stack([chart, sheet]).render(["print"])
    above, below = chart.render(), sheet.render(["print"])
    assert whole.shape == (len(above) + len(below), max(above.shape[1], below.shape[1]), 3)
    np.testing.assert_array_equal(whole[: len(above), : above.shape[1]], above)
    np.testing.assert_array_equal(whole[len(above) :, : below.shape[1]], below)
    assert (whole[len(above) :, below.shape[1] :] == 255).all()
