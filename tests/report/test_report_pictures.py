"""Pictures in a report: which steps, how large, and within how many bytes."""

from __future__ import annotations

import base64
import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import grid

from ganvas.report.pictures import FITS, Embedded, embedded, encode, find_pictures, spread


def add(folder: Path, name: str, data: bytes | None = None) -> Path:
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    file = folder / "samples" / f"{name}.png"
    file.write_bytes(grid(0) if data is None else data)
    return file


def noise(side: int, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", compress_level=0)
    return buffer.getvalue()


def length(made: Embedded) -> int:
    runs = made.pictures.values()
    return sum(len(one["src"]) for kinds in runs for many in kinds.values() for one in many)


def opened(source: str) -> Image.Image:
    head, _, data = source.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(
    ("count", "kept"),
    [(1, [9]), (2, [0, 9]), (3, [0, 4, 9]), (4, [0, 3, 6, 9]), (10, [*range(10)])],
)
def test_the_last_step_then_the_first_then_evenly_between(count: int, kept: list[int]) -> None:
    assert spread(range(10), count) == kept
    assert spread(range(10), 99) == [*range(10)]
    assert spread([], count) == []


def test_few_pictures_are_all_there_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for name in ("zebra-00000001", "reconstructions-00000200", "samples-123456789", "samples-7"):
        add(tmp_path, name)
    add(tmp_path, "no_step")
    (tmp_path / "samples" / "samples-00000005.tmp").write_bytes(b"half")
    made = embedded({"a": tmp_path, "none": tmp_path / "nowhere"}, budget=10**7)
    assert {kind: [p["step"] for p in many] for kind, many in made.pictures["a"].items()} == {
        "samples": [7, 123456789],
        "reconstructions": [200],
        "zebra": [1],
    }
    assert [*made.pictures["a"]] == ["samples", "reconstructions", "zebra"]
    assert [*made.pictures] == ["a"] and made.problems == made.notes == ()


def test_enlarged_pixels_stay_exactly_what_they_were(tmp_path: Path) -> None:
    """A grid of 530 pixels holds digits enlarged eightfold: half of it loses nothing."""
    file = add(tmp_path, "samples-1")
    with Image.open(file) as image:
        whole = np.asarray(image)
    for side, factor in ((640, 1), (280, 2)):
        with Image.open(io.BytesIO(encode(file, side=side))) as image:
            made = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(made, whole[::factor, ::factor])


@pytest.mark.parametrize("side", [640, 280, 200, 140, 110])
def test_no_side_is_longer_than_the_fit_says(tmp_path: Path, side: int) -> None:
    with Image.open(io.BytesIO(encode(add(tmp_path, "samples-1"), side=side))) as image:
        assert side / 2 < max(image.size) <= side


@pytest.mark.parametrize("budget", [900_000, 120_000, 20_000, 0])
def test_the_budget_is_kept_even_by_noise(tmp_path: Path, budget: int) -> None:
    """Noise is what compresses worst; the less there is to spend, the less is shown, and told."""
    folders = {f"run {i}": tmp_path / str(i) for i in range(6)}
    for i, folder in enumerate(folders.values()):
        for step in (1, 2, 3):
            for kind in ("samples", "reconstructions", "other"):
                add(folder, f"{kind}-{step}", noise(200, seed=10 * i + step))
    made = embedded(folders, budget=budget)
    assert length(made) <= budget
    shown = sum(len(many) for kinds in made.pictures.values() for many in kinds.values())
    assert bool(made.notes) == (shown < 54)
    assert [*made.pictures] == [*folders][: len(made.pictures)], "the first runs are served first"
    if budget == 0:
        assert made.pictures == {} and "Pictures of 6 runs are left out" in made.notes[1]
    if budget >= 120_000:
        assert len(made.pictures) == 6
        assert all(many[-1]["step"] == 3 for k in made.pictures.values() for many in k.values())


def test_a_damaged_picture_is_left_out_and_told(tmp_path: Path) -> None:
    good, cut, none = (add(tmp_path, f"samples-{i}") for i in (1, 2, 3))
    cut.write_bytes(grid(0)[:2000])
    none.write_bytes(b"no picture")
    made = embedded({"a": tmp_path}, budget=10**7)
    assert [p["step"] for p in made.pictures["a"]["samples"]] == [1]
    with Image.open(good) as image, opened(made.pictures["a"]["samples"][0]["src"]) as shown:
        assert shown.size == image.size
    assert len(made.problems) == 2
    for file, line in zip((cut, none), made.problems, strict=True):
        assert line.startswith(f"{file}: the picture can't be read (") and "left out" in line


def test_a_picture_of_enormous_size_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganvas.report.pictures.MAX_PIXELS", 99 * 100)
    add(tmp_path, "samples-1", noise(100))
    made = embedded({"a": tmp_path}, budget=10**7)
    assert made.pictures == {} and "100 × 100 pixels are too many" in made.problems[0]


def test_a_link_out_of_the_run_is_not_followed_but_one_inside_is(tmp_path: Path) -> None:
    private, run = tmp_path / "private.png", tmp_path / "run"
    private.write_bytes(grid(0))
    first = add(run, "samples-1")
    (run / "samples" / "samples-2.png").symlink_to(first)
    problems: list[str] = []
    assert len(find_pictures(run, problems)["samples"]) == 2 and problems == []
    (run / "samples" / "samples-3.png").symlink_to(private)
    assert find_pictures(run, problems) == {} and "links out of the run" in problems[0]

    other = tmp_path / "other"
    other.mkdir()
    (other / "samples").symlink_to(run / "samples")
    assert embedded({"o": other}, budget=10**7).problems == (
        f"{other / 'samples'} holds links out of the run; no picture is shown",
    )


def test_fits_become_thriftier() -> None:
    assert all(a.side >= b.side and a.steps >= b.steps for a, b in pairwise(FITS))
    assert FITS[-1].steps == 1
