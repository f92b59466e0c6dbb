"""What a killed run says where it has no checkpoint, or none that is whole."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import (
    FAMILIES,
    QUICK,
    FileTrap,
    Trap,
    copied,
    differences,
    drive,
    killed,
    only_run,
    resumed,
    status,
)
from stops import Signalled

from ganvas.tracking.files import read_run_json


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed at step 19, with checkpoints of steps 16 and 12."""
    place = tmp_path_factory.mktemp("cut")
    killed(place, *QUICK, *FAMILIES["vae"], hook=Trap("step", 19))
    return only_run(place)


def contents(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("*") if f.is_file()}


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """One bit, in the midst of a tensor."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def empty(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [truncate, flip, pytest.param(empty, marks=pytest.mark.slow)])
def test_a_damaged_checkpoint_falls_back(
    damage: Callable[[bytes], bytes], cut: Path, wholes: Callable[..., Path], tmp_path: Path
) -> None:
    run = copied(cut, tmp_path)
    last, kept = run / "checkpoints" / "last.ckpt", "checkpoints/last.ckpt.damaged"
    last.write_bytes(damage(last.read_bytes()))
    (last.parent / "step-00000016.ckpt").unlink()  # another name of it, before it was copied
    said = " ".join(resumed(run).split())
    assert "last.ckpt is damaged" in said
    assert "goes on from" in said and "of step 12" in said
    assert differences(run, wholes("vae")) == [f"{kept}: left over"]
    assert read_run_json(run)["resumed"][-1]["from_step"] == 12


@pytest.mark.parametrize(
    "spoilt",
    [pytest.param(bytes, marks=pytest.mark.slow), truncate],
    ids=["of another step", "damaged"],
)
def test_a_best_that_is_not_this_runs_is_selected_anew(
    spoilt: Callable[[bytes], bytes], cut: Path, wholes: Callable[..., Path], tmp_path: Path
) -> None:
    """The best one is of step 12; this one is of an abandoned way, or can't be read."""
    run = copied(cut, tmp_path)
    best = run / "checkpoints" / "best.ckpt"
    last = best.with_name("last.ckpt").read_bytes()
    best.unlink()  # another name of a file that stays
    best.write_bytes(spoilt(last))
    stopped = drive(tmp_path, "train", f"resume={run}", hook=Signalled("step", 2, signal.SIGTERM))
    assert stopped.code() == 143, stopped.printed()
    assert status(run) == "interrupted"
    assert not best.exists() and "best" not in read_run_json(run)["weights"]
    resumed(run)
    assert differences(run, wholes("vae")) == []


def test_killed_as_its_config_changes(cut: Path, tmp_path: Path) -> None:
    """At each moment there is a config; the first one is kept, however often it changes."""
    run = copied(cut, tmp_path)
    file = run / "config.yaml"
    former = file.read_bytes()
    traps = FileTrap("os.rename", "config.yaml"), Trap("step", 1), Trap("step", 1)
    for epochs, trap in enumerate(traps, start=4):
        killed(tmp_path, f"resume={run}", f"trainer.max_epochs={epochs}", hook=trap)
        assert (run / "config-until-16.yaml").read_bytes() == former
        assert (file.read_bytes() == former) == (epochs == 4)


def test_no_checkpoint_is_whole(cut: Path, tmp_path: Path) -> None:
    """The command is refused, and the folder stays as it is."""
    run = copied(cut, tmp_path)
    for file in run.glob("checkpoints/*.ckpt"):
        file.write_bytes(truncate(file.read_bytes()))
    before = contents(run)
    process = drive(tmp_path, "train", f"resume={run}")
    assert process.code() == 2
    assert "is damaged" in process.printed()
    assert "Traceback" not in process.printed()
    assert contents(run) == before


@pytest.mark.parametrize("trap", [Trap("step", 3), Trap("write of a checkpoint", 1)])
def test_killed_before_the_first_checkpoint(trap: Trap, tmp_path: Path) -> None:
    killed(tmp_path, *QUICK, *FAMILIES["vae"], hook=trap)
    run = only_run(tmp_path)
    before = contents(run)
    process = drive(tmp_path, "train", f"resume={run}")
    assert process.code() == 2
    assert "no checkpoint yet" in process.printed()
    assert "begin it anew: ganvas train" in process.printed()
    assert contents(run) == before
