"""Numbers and texts as the tables show them."""

from __future__ import annotations

import math

import pytest

from ganvas.report.words import measured, memory, number, printable, seconds


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (31.7712, 0.1234, "31.77 ± 0.12"),
        (-31.7712, 0.0996, "-31.77 ± 0.10"),
        (614.01, 123.4, "610 ± 120"),
        (614.01, 12.34, "614 ± 12"),
        (0.5, 0.000123, "0.50000 ± 0.00012"),
        (10.0, 0.0, "10 ± 0"),
        (1.0, 1e-12, "1 ± 1.0e-12"),
        (3.14159265, None, "3.1416"),
        (math.nan, None, "nan"),
        (-math.inf, None, "-inf"),
    ],
)
def test_a_mean_has_the_digits_that_its_error_allows(
    mean: float, error: float | None, text: str
) -> None:
    assert measured(mean, error) == text


def test_numbers_times_and_memory() -> None:
    assert [number(v) for v in (1234567.0, 0.000012345, 1e12, 5.0)] == [
        "1234567", "1.2345e-05", "1e+12", "5",
    ]  # fmt: skip
    assert [seconds(v) for v in (None, 4.25, 723.4, 12310.0)] == ["", "4.2 s", "12:03", "3:25:10"]
    assert [memory(v) for v in (None, 912.4, 11571.0)] == ["", "912 MiB", "11.3 GiB"]
    assert printable("ä·日 [x]") == "ä·日 [x]"
