"""Disks that are full or may only be read, and files that another process holds or has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from driven import Drive, drive
from sameness import differences
from stops import Paused, faults_of, resumed, run_in, size, status_of, trained
from trials import Trial

ROOM = "size=64m"


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A folder that is a disk of its own, e.g. of `size=300k`.

    Raises:
        PermissionError: only root may mount one.
    """
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        raise PermissionError("a small disk is mounted by root only")
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a disk: its size, `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@contextmanager
def covered(folder: Path) -> Iterator[None]:
    """A folder that may only be read; files that are open stay so."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full(folder: Path, random: Random) -> Iterator[Trial]:
    """Disks of random sizes, or filled up by others in mid-run; then room is made, and resume."""
    for logger, number in (("none", 14), ("wandb", 4)):
        kind = f"logger={logger}"
        whole = trained(folder / f"whole-{logger}", kind)
        files = [file for file in whole.rglob("*") if file.is_file()]
        largest = sum(file.stat().st_size for file in files) // 1024
        for index in range(number):
            room = random.randrange(8, largest) if index % 2 else random.randrange(8, 100)
            place = folder / f"{logger}-{index}"
            with disk(place / "runs", f"size={room}k"):
                started = drive(place, "train", *size(kind))
                subject = f"vae, {kind}, a disk of {room} KiB"
                yield _after_full(started, started.code(), subject, whole)
        for index in range(number // 2 - 1):
            place, steps = folder / f"{logger}-filled-{index}", random.randrange(3, 38)
            with disk(place / "runs", ROOM):
                started = drive(place, "train", *size(kind), hook=Paused(steps))
                started.until((place / "paused").exists)
                _fill(place / "runs" / "of-others")
                (place / "go").touch()
                code = started.code()
                (place / "runs" / "of-others").unlink()
                subject = f"vae, {kind}, filled by others after {steps} steps"
                yield _after_full(started, code, subject, whole)


def _fill(file: Path) -> None:
    """Leaves no byte free."""
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(b"0" * 4096)
        except OSError:
            return


def _after_full(started: Drive, code: int, subject: str, whole: Path) -> Trial:
    """The run has ended as it should, and goes on as if nothing had been, once there is room."""
    place, faults = started.place, faults_of(started)
    run, said = run_in(place), started.printed()
    if code == 0:
        result = "there was room enough"
        return Trial("disk full", subject, bool(faults), "; ".join(faults) or result)
    if "ganvas:" not in said or "No space left" not in said:
        faults.append(f"it did not name the disk: {said[-300:]}")
    if code != (2 if run is None else 1):
        faults.append(f"its exit code is {code}")
    remount(place / "runs", ROOM)
    if run is None:
        result = "refused, nothing left"
        faults += [str(f) for f in (place / "runs").rglob("*") if f.is_file()]
    elif not (run / "checkpoints" / "last.ckpt").is_file():
        result = "stopped cleanly before the first checkpoint"
    else:
        result = "stopped cleanly, resumed to the same bits"
        faults += resumed(place, run, whole)
        faults += [f"{f} was left" for f in run.rglob("*.tmp")]
    return Trial("disk full", subject, bool(faults), "; ".join(faults) or result)


def read_only(folder: Path, random: Random) -> Iterator[Trial]:
    """`runs_dir` or the cache may only be read; a run's disk becomes so in mid-run."""
    whole = trained(folder / "whole")
    for name in ("runs", "cache"):
        place = folder / f"ro-{name}"
        with disk(place / name, ROOM):
            remount(place / name, "ro")
            variables = {"GANVAS_CACHE_DIR": str(place / name)} if name == "cache" else {}
            started = drive(place, "train", *size(), **variables)
            code, faults = started.code(), faults_of(started)
            if code != 2 or "ead-only" not in started.printed():
                faults.append(f"exit code {code}: {started.printed()[-300:]}")
            result = "; ".join(faults) or "refused, naming the folder"
            yield Trial("read-only folder", f"{name} before the start", bool(faults), result)
    for number in range(4):
        place, steps = folder / f"ro-{number}", random.randrange(7, 38)
        with disk(place / "runs", ROOM):
            started = drive(place, "train", *size(), hook=Paused(steps))
            started.until((place / "paused").exists)
            with covered(place / "runs"):
                (place / "go").touch()
                code, faults, run = started.code(), faults_of(started), run_in(place)
                if code != 1 or "ead-only" not in started.printed():
                    faults.append(f"exit code {code}: {started.printed()[-300:]}")
                again = drive(place, "train", f"resume={run}")
                if (second := again.code()) != 2 or "ead-only" not in again.printed():
                    faults.append(f"resume ended with {second}: {again.printed()[-300:]}")
                faults += faults_of(again)
            faults += resumed(place, run, whole) if run else ["there is no run"]
        result = "; ".join(faults) or "stopped cleanly, refused to go on, resumed once writable"
        yield Trial("read-only folder", f"after {steps} steps", bool(faults), result)


def two_processes(folder: Path, random: Random) -> Iterator[Trial]:
    """A run that trains is resumed and evaluated at the same time, by one or many others."""
    whole = trained(folder / "whole")
    for number, many in enumerate((1, 1, 4, 4)):
        place, steps = folder / f"held-{number}", random.randrange(7, 38)
        first = drive(place, "train", *size(), hook=Paused(steps))
        first.until((place / "paused").exists)
        run = run_in(place)
        assert run is not None
        others = [drive(place / "others", "train", f"resume={run}") for _ in range(many)]
        others += [drive(place / "others", "evaluate", str(run), "metrics=[losses]")]
        faults = []
        for other in others:
            if (code := other.code()) != 2 or "in use by process" not in other.printed():
                faults.append(f"a second one ended with {code}: {other.printed()[-300:]}")
        faults += faults_of(others[0])
        (place / "go").touch()
        if (code := first.code()) != 0 or status_of(run) != "finished":
            faults.append(f"the first ended with {code}: {first.printed()[-300:]}")
        shown = drive(place, "compare", str(whole), str(run))
        faults += [] if shown.code() == 0 else [shown.printed()[-300:]]
        faults += [*differences(run, whole), *faults_of(first)]
        result = "; ".join(faults) or "the second was refused, the first went on undisturbed"
        subject = f"{many} resume and one evaluate after {steps} steps"
        yield Trial("two processes on one run", subject, bool(faults), result)
    yield from _race(folder, whole)


def _race(folder: Path, whole: Path) -> Iterator[Trial]:
    """A killed run leaves its lock file, and three processes want to go on with it at once."""
    for number in range(3):
        place = folder / f"race-{number}"
        killed = drive(place, "train", *size(), hook=Paused(20))
        killed.until((place / "paused").exists)
        killed.kill_group()
        killed.code()
        run = run_in(place)
        assert run is not None
        rivals = [drive(place, "train", f"resume={run}") for _ in range(3)]
        codes = sorted(rival.code() for rival in rivals)
        faults = [*differences(run, whole), *(f for r in rivals for f in faults_of(r))]
        if codes.count(0) < 1 or set(codes) - {0, 2}:
            faults.append(f"they ended with {codes}: {[r.printed()[-200:] for r in rivals]}")
        result = "; ".join(faults) or "one of them went on, the others were refused"
        yield Trial("two processes on one run", "three resume a killed run", bool(faults), result)


def changed_data(folder: Path, random: Random) -> Iterator[Trial]:
    """Image files are altered, removed or added between kill and resume, or during the run."""
    images = folder / "images"
    draw(images, random)
    of_files = ["dataset=image_folder", "dataset.image_size=8", "dataset.source.channels=1"]
    of_files += ["dataset.batch_size=20", "dataset.val_size=20", "trainer.max_steps=30"]
    whole = trained(folder / "whole", *of_files, f"dataset.root={images}")
    changes = dict.fromkeys(("altered", "removed", "added", "all gone"), 2)
    changes |= {"deleted as decoded": 1, "spoilt as decoded": 1}
    for change, num in changes.items():
        for when in ("during the run", "between kill and resume")[:num]:
            place = folder / f"{change}-{when}".replace(" ", "-")
            copy = place / "images"
            place.mkdir()
            shutil.copytree(images, copy, symlinks=True)
            yield _with_change(place, copy, change, when, of_files=of_files, whole=whole)


def draw(images: Path, random: Random, *, name: str = "") -> None:
    """200 pictures of noise."""
    from PIL import Image

    images.mkdir(parents=True)
    for i in range(200):
        picture = Image.frombytes("L", (8, 8), random.randbytes(64))
        picture.save(images / f"{i:03d}{name}.png")


def _change(images: Path, change: str) -> None:
    if change == "altered":
        shutil.copy(images / "001.png", images / "000.png")
    elif change == "removed":
        (images / "000.png").unlink()
    elif change == "added":
        shutil.copy(images / "000.png", images / "zzz.png")
    elif change == "all gone":
        shutil.rmtree(images)
    else:
        for file in (images.parent / "cache").rglob("*.npy"):
            if change == "deleted as decoded":
                file.unlink()
            else:
                file.write_bytes(bytes(file.stat().st_size))


def _with_change(
    place: Path, images: Path, change: str, when: str, *, of_files: list[str], whole: Path
) -> Trial:
    mine = [*of_files, f"dataset.root={images}"]
    cache = {"GANVAS_CACHE_DIR": str(place / "cache")}
    started = drive(place, "train", *size(*mine), hook=Paused(20), **cache)
    started.until((place / "paused").exists)
    faults: list[str] = []
    if when == "during the run":
        _change(images, change)
        (place / "go").touch()
        code, run = started.code(), run_in(place)
        assert run is not None
        if code != 0:
            faults.append(f"it ended with {code}: {started.printed()[-300:]}")
        faults += [f for f in _compared(run, whole) if "dataset" not in f]
        result = "went on with the decoded images, to the same bits"
    else:
        started.kill_group()
        started.code()
        run = run_in(place)
        _change(images, change)
        again = drive(place, "train", f"resume={run}", **cache)
        code, said = again.code(), again.printed()
        if code != 2 or ("images" not in said and "no such" not in said):
            faults.append(f"resume ended with {code}: {said[-300:]}")
        faults += faults_of(again)
        result = "refused, naming the images"
    faults += faults_of(started)
    subject = f"images {change} {when}"
    return Trial("data changed", subject, bool(faults), "; ".join(faults) or result)


def _compared(run: Path, whole: Path) -> list[str]:
    """Weights and figures; the folders' names differ, and with them the identity."""
    return [found for found in differences(run, whole) if "ganvas_identity" not in found]
