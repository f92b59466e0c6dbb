"""The contact sheet of recorded grids: which are shown, what is written beneath them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ganvas.engine.drawn import _gif
from ganvas.errors import DataError
from ganvas.latent.inputs import Request
from ganvas.latent.scene import Scene
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.latent.walk import Walk, thinned
from ganvas.tracking.record import RunRecord

OPTIONS: dict[str, Any] = {"of": "samples", "num": 5, "frames": 8, "side": 40}
Make = Callable[..., Path]


def grey(step: int, *, size: tuple[int, int] = (80, 80)) -> np.ndarray:
    """A picture whose brightness is its step."""
    return np.full((*size, 3), step % 256, np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a run's folder with grids of these steps; metrics every second step."""
    held: list[RunRecord] = []

    def run(
        steps: Sequence[int], *, of: str = "samples", status: str = "finished", **size: Any
    ) -> Path:
        record = RunRecord.create(
            tmp_path, "toy", config={}, overrides=[], command="ganvas train", seed=0
        )
        held.append(record)
        for step in steps:
            record.log_images(of, grey(step, **size), step=step)
        for step in range(0, max(steps, default=0) + 1, 2):
            record.log_metrics({"a": 1.0}, step=step, images_seen=100 * step, seconds=1.0)
        if status == "running":
            record.close()
        else:
            record.finish(status)  # type: ignore[arg-type]
        return record.path

    yield run
    for record in held:
        record.close()


def never(*_: Any) -> Any:
    raise AssertionError("neither model nor data are needed")


def walk(folder: Path, *, request: Request | None = None, **options: Any) -> Drawing:
    loads = dict.fromkeys(("load_view", "load_data", "load_codes", "load_subject"), never)
    return Walk(**{**OPTIONS, **options}).draw(Scene(folder, request or Request(), **loads))


def sheet_of(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def captions(sheet: Sheet) -> list[str]:
    return list(itertools.chain.from_iterable(sheet.captions))


def test_all_of_a_few_grids_are_shown_in_order(make: Make) -> None:
    found = walk(make([100, 20, 3, 7]))
    sheet = sheet_of(found)
    assert found.tensors["steps"].tolist() == [3, 7, 20, 100]
    assert captions(sheet) == [
        "step 3\n≈ 300 images seen",
        "step 7\n≈ 700 images seen",
        "step 20\n2,000 images seen",
        "step 100\n10,000 images seen",
    ]
    pixels = sheet.render()
    for (row, column), (left, top, right, bottom) in sheet.boxes.items():
        assert (right - left, bottom - top) == (40 * sheet.zoom, 40 * sheet.zoom)
        shown = pixels[(top + bottom) // 2, (left + right) // 2]
        assert shown.tolist() == [[3, 7, 20, 100][5 * row + column]] * 3
    assert found.values == {"grids": 4, "first_step": 3, "last_step": 100}
    assert found.inputs[0] == "samples-00000003.png"


def test_many_are_thinned_evenly_with_both_ends(make: Make) -> None:
    folder = make(range(1, 42))
    found = walk(folder)
    assert found.tensors["steps"].tolist() == [1, 11, 21, 31, 41]
    said = "41 grids were recorded; the sheet shows 5, evenly by their order, and the animation "
    assert f"{said}8" in found.notes
    assert f"{said}all" in walk(folder, frames=50).notes
    titles = [frame.title for frame in found.frames if isinstance(frame, Sheet)]
    distinct = list(dict.fromkeys(titles))
    assert distinct[0] == "Samples, step 1" and distinct[-1] == "Samples, step 41"
    assert len(distinct) == 8 and titles.count("Samples, step 41") > 1  # the last one stays
    assert len({frame.render().shape for frame in found.frames}) == 1


@pytest.mark.parametrize(("there", "num"), [(1, 2), (2, 2), (3, 2), (7, 5), (100, 99)])
def test_thinning_keeps_the_ends_and_the_order(there: int, num: int) -> None:
    kept: list[int] = thinned(list(range(there)), num)  # type: ignore[arg-type,assignment]
    assert kept[0] == 0 and kept[-1] == there - 1
    assert kept == sorted(set(kept)) and len(kept) == min(num, there)
    gaps = np.diff(kept)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_reconstructions_and_six_panels_in_two_rows(make: Make) -> None:
    folder = make(range(1, 7), of="reconstructions")
    sheet = sheet_of(walk(folder, of="reconstructions", num=9))
    assert [len(row) for row in sheet.rows] == [5, 1]
    assert sheet.title == "Reconstructions over training"


def test_grids_of_several_sizes_share_one_shape(make: Make, tmp_path: Path) -> None:
    folder = make([1, 2])
    for step, size in ((3, (20, 30)), (4, (200, 100))):
        wide = make([step], size=size)
        file = f"samples/samples-{step:08d}.png"
        (folder / file).write_bytes((wide / file).read_bytes())
    images = walk(folder).tensors["images"]
    assert images.shape == (4, 3, 40, 40)
    small, tall = images[2], images[3]
    inside = small == 3 / 255
    assert inside.all(0).sum() == 20 * 30 and inside[:, 10:30, 5:35].all()  # not enlarged
    assert (tall == 4 / 255).all(0)[1:-1].sum() == 38 * 20 and small[0, 5, 20] == 1


def test_one_grid_is_a_sheet_without_animation(make: Make) -> None:
    found = walk(make([12]))
    assert len(sheet_of(found).boxes) == 1 and not found.frames


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_how_a_run_ended_is_said(make: Make, status: str) -> None:
    notes = walk(make([4, 1000], status=status)).notes
    said = "has not ended" if status == "running" else f"was {status}"
    assert f"the run {said}: grids up to step 1,000" in notes
    assert not any("grids up to" in note for note in walk(make([4, 1000])).notes)


def test_without_metrics_there_are_steps_alone(make: Make) -> None:
    folder = make([4, 10])
    (folder / "metrics.csv").unlink()
    found = walk(folder)
    assert captions(sheet_of(found)) == ["step 4", "step 10"]
    assert any("images seen are not told" in note for note in found.notes)
    (folder / "metrics.csv").write_text("step,images_seen,seconds,name,value\n5,50,1.0,a,1\n")
    assert captions(sheet_of(walk(folder))) == [
        "step 4\n≈ 40 images seen",
        "step 10\n> 50 images seen",
    ]


def test_what_was_not_recorded_is_said(make: Make) -> None:
    folder = make([4], of="reconstructions")
    with pytest.raises(ValueError, match=r"recorded reconstructions alone; choose tool\.of=rec"):
        walk(folder)
    with pytest.raises(ValueError, match=r"of=reconstructions: .*holds no grid of samples or rec"):
        walk(make([]), of="reconstructions")
    with pytest.raises(ValueError, match="holds no grid yet; wait for the first one"):
        walk(make([], status="running"))


def test_images_can_not_be_given(make: Make) -> None:
    with pytest.raises(ValueError, match=r"images must be left out, got \[0\]"):
        walk(make([4]), request=Request(images=[0]))


def test_other_files_are_no_grids(make: Make) -> None:
    folder = make([4])
    for name in ("samples-best.png", "samples-1.tmp", "more-samples-3.png", "samples-3.png.png"):
        (folder / "samples" / name).write_text("?")
    assert walk(folder).values["grids"] == 1


def test_an_animation_keeps_its_white_ground_and_is_small(make: Make) -> None:
    frames = walk(make(range(1, 9))).frames
    content = _gif(frames, ["small print"], seconds=0.3)
    with Image.open(BytesIO(content)) as opened:
        shown = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(opened)]
    assert len(shown) == 8 and len(content) < 20_000
    for made, frame in zip(shown, frames, strict=False):
        assert made[0, 0].tolist() == [255, 255, 255]
        np.testing.assert_allclose(made.astype(int), frame.render(["small print"]), atol=8)


@pytest.mark.parametrize("left", [0, 7, 60])
def test_a_damaged_grid_is_named(make: Make, left: int) -> None:
    folder = make([4, 5])
    file = folder / "samples" / "samples-00000005.png"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(DataError, match=r"samples-00000005\.png: not a readable image"):
        walk(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"of": "losses"}, "of must be auto, samples or reconstructions, got 'losses'"),
        ({"num": 1}, "num must be at least 2, got 1"),
        ({"frames": 0}, "frames must be at least 2, got 0"),
        ({"side": 8}, "side must be from 32 to 2000, got 8"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Walk(**{**OPTIONS, **options})


def test_nothing_in_the_folder_changes(make: Make) -> None:
    folder = make([4, 5])
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    state = torch.get_rng_state()
    walk(folder)
    assert torch.equal(torch.get_rng_state(), state)
    after = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert before == after and json.loads(before[folder / "run.json"])["status"] == "finished"


def test_auto_takes_samples_where_there_are_any(make: Make) -> None:
    only = make([1, 2], of="reconstructions")
    assert sheet_of(walk(only, of="auto")).title == "Reconstructions over training"
    both = make([1, 2])
    for step in (1, 2):
        grid = both / "samples" / f"samples-{step:08d}.png"
        grid.with_name(grid.name.replace("samples-", "reconstructions-")).write_bytes(
            grid.read_bytes()
        )
    assert sheet_of(walk(both, of="auto")).title == "Samples over training"
    with pytest.raises(ValueError, match="holds no grid of samples or reconstructions"):
        walk(make([]), of="auto")
