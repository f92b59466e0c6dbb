"""Each family, killed in the midst of an epoch, of a validation and of a write, ends the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from killing import (
    FAMILIES,
    QUICK,
    CallTrap,
    FileTrap,
    Trap,
    differences,
    killed,
    only_run,
    resumed,
    status,
)

POINTS = {
    "mid-epoch": Trap("step", 19),  # of the second epoch of 12; checkpoints are of steps 12 and 16
    "validation": Trap("evaluation batch", 4),  # the last of the second validation
    "write": Trap("write of a checkpoint", 6),
}
slow = partial(pytest.param, marks=pytest.mark.slow)
FINISHED = CallTrap("ganvas.tracking.record.RunRecord.end")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_run_ends_as_the_undisturbed_one(
    family: str, point: str, wholes: Callable[..., Path], tmp_path: Path
) -> None:
    """Checkpoints (but for the clock), figures, trace, pictures and the names of all files."""
    killed(tmp_path, *QUICK, *FAMILIES[family], hook=POINTS[point])
    cut = only_run(tmp_path)
    assert status(cut) == "running"
    assert differences(cut, wholes(family))
    resumed(cut)
    assert differences(cut, wholes(family)) == []


@pytest.mark.parametrize(
    "trap",
    [
        FileTrap("os.rename", "last.ckpt", 5),  # next.ckpt stands, last.ckpt is the one before
        FileTrap("os.rename", "best.ckpt", 2),  # last.ckpt stands, the best one is to be it
        slow(FileTrap("os.rename", "step-00000016.ckpt")),
        slow(FileTrap("os.rename", "samples-00000024.png")),  # validated and saved, not shown
        slow(FileTrap("os.rename", "run.json", 7)),
    ],
    ids=["last", "best", "periodic", "picture", "record"],
)
def test_killed_between_two_files(
    trap: FileTrap, wholes: Callable[..., Path], tmp_path: Path
) -> None:
    killed(tmp_path, *QUICK, *FAMILIES["vae"], hook=trap)
    cut = only_run(tmp_path)
    resumed(cut)
    assert differences(cut, wholes("vae")) == []


def test_killed_again_and_again(wholes: Callable[..., Path], tmp_path: Path) -> None:
    """In the first steps of resuming, in its write, before the tables are cut, and at its end."""
    killed(tmp_path, *QUICK, *FAMILIES["gan"], hook=Trap("step", 15))
    cut = only_run(tmp_path)
    for trap in (
        Trap("step", 2),
        Trap("write of a checkpoint", 1),
        FileTrap("os.rename", "trace.csv"),
        Trap("write of a checkpoint", 3),
    ):
        killed(tmp_path, f"resume={cut}", hook=trap)
        assert status(cut) == "running"
    resumed(cut)
    assert differences(cut, wholes("gan")) == []


@pytest.mark.parametrize(
    "options", [slow(("test=true",)), ("dataset.val_size=0",)], ids=["test", "end"]
)
def test_killed_at_its_end(
    options: tuple[str, ...], wholes: Callable[..., Path], tmp_path: Path
) -> None:
    """All is written but how it ended: no row of the test, or of the last window, comes twice."""
    killed(tmp_path, *QUICK, *FAMILIES["vae"], *options, hook=FINISHED)
    cut = only_run(tmp_path)
    assert len(list((cut / "samples").iterdir())) > 2
    resumed(cut)
    assert differences(cut, wholes("vae", *options)) == []
