"""Odd names, and run folders that were copied to where nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

from disks import draw
from driven import drive
from stops import Paused, faults_of, run_in, size, trained
from trials import Trial

NAMES = (
    "Modèle ü 日本語 🙂",
    "a folder with spaces",
    'it\'s "quoted"',
    "a=b,c=d",
    "[list] {dict} $x",
    "100% %s %(name)s",
    "-leading-dash",
    "# hash; semicolon & more",
    "tab\there",
    "trailing.dot.",
)


def odd_names(folder: Path, random: Random) -> Iterator[Trial]:
    """Every command, in folders with odd names, on images with odd names."""
    for number, name in enumerate(NAMES):
        images = folder / f"{number}" / name / "images"
        draw(images, random, name=name)
        yield _everything(folder / f"{number}" / name, images)


def _everything(place: Path, images: Path) -> Trial:
    """A run is trained, resumed, sampled, evaluated, drawn, compared and reported."""
    of_files = ["dataset=image_folder", "dataset.image_size=8", "dataset.source.channels=1"]
    of_files += ["dataset.batch_size=20", "dataset.val_size=20", "callbacks.images=null"]
    quoted = str(images).replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
    variables = {"GANVAS_CACHE_DIR": str(place / "cache")}
    mine = [*of_files, f"dataset.root='{quoted}'"]
    started = drive(place, "train", *size(*mine), **variables)
    faults = _failed("train", started.code(), started.printed())
    if (run := run_in(place)) is None:
        return Trial("odd names", place.name, lost=True, result="; ".join(faults))
    commands = {
        "resume": ["train", f"resume={run}", "trainer.max_steps=45"],
        "sample": ["sample", str(run), "n=4"],
        "evaluate": ["evaluate", str(run), "metrics=[losses]"],
        "latent": ["latent", str(run), "tool=interpolate", "images=[0,1]"],
        "compare": ["compare", str(run)],
        "report": ["report", str(run), f"out={place / 'report.html'}"],
        "relative": ["sample", str(run.relative_to(place)), "n=2"],
    }
    for name, arguments in commands.items():
        started = drive(place, *arguments, **variables)
        faults += _failed(name, started.code(), started.printed())
    found = sorted(p.name for p in place.iterdir() if not p.name.startswith("out-"))
    if unexpected := set(found) - {"cache", "images", "runs", "report.html"}:
        faults.append(f"it wrote {unexpected}")
    result = "; ".join(faults) or "all commands work"
    return Trial("odd names", place.name, bool(faults), result)


def _failed(name: str, code: int, said: str) -> list[str]:
    return [f"{name} ended with {code}: {said[-300:]}"] if code else []


def copied(folder: Path, random: Random) -> Iterator[Trial]:
    """A run's folder is copied to a place where neither its images nor itself were before."""
    for number in range(5):
        place = folder / f"first-{number}"
        images = place / "images"
        draw(images, random)
        mine = ["dataset=image_folder", "dataset.image_size=8", "dataset.source.channels=1"]
        mine += ["dataset.batch_size=20", "dataset.val_size=20", f"dataset.root={images}"]
        logger = "logger=wandb" if number % 2 else "logger=none"
        whole = trained(folder / f"whole-{number}", logger, *mine)
        steps = random.randrange(7, 35)
        started = drive(place, "train", *size(logger, *mine), hook=Paused(steps))
        started.until((place / "paused").exists)
        first = run_in(place)
        assert first is not None
        second = folder / f"second-{number}" / "runs" / "x" / first.name
        shutil.copytree(first, second, symlinks=True)  # while it is written
        started.kill_group()
        started.code()
        yield _elsewhere(place, first, second, whole, steps=steps)


def _elsewhere(place: Path, first: Path, second: Path, whole: Path, *, steps: int) -> Trial:
    """The copy is used where the original is gone: a new home, other images' folder."""
    new = second.parents[2]
    images = new / "images here"
    shutil.move(place / "images", images)
    before = json.loads((first / "run.json").read_text())["wandb"]
    shutil.rmtree(place)
    (new / "home").mkdir()
    variables = {"HOME": str(new / "home"), "GANVAS_CACHE_DIR": str(new / "cache")}
    plain = drive(new, "train", f"resume={second}", **variables)
    faults = []
    if plain.code() != 2 or "images" not in plain.printed():
        faults.append(f"without its images it ended with {plain.printed()[-300:]}")
    moved = [f"dataset.root={images}", f"dataset.source.root={images}", "resume_with_changes=true"]
    again = drive(new, "train", f"resume={second}", *moved, **variables)
    if (code := again.code()) != 0:
        faults.append(f"resume ended with {code}: {again.printed()[-300:]}")
    faults += [*_same(second, whole), *faults_of(again)]
    for arguments in (
        ["sample", str(second), "n=4"],
        ["evaluate", str(second), "metrics=[losses]"],
        ["compare", str(second)],
        ["latent", str(second), "tool=interpolate", "images=[0,1]"],
    ):
        started = drive(new, *arguments, **variables)
        faults += _failed(arguments[0], started.code(), started.printed())
    after = json.loads((second / "run.json").read_text())["wandb"]
    if (before or {}).get("id") != (after or {}).get("id"):
        faults.append(f"W&B's id was {before}, now {after}")
    if place.exists():
        faults.append(f"something was written to {place}: {list(place.rglob('*'))[:3]}")
    result = "; ".join(faults) or "the copy works alone, resumed to the same bits"
    return Trial("run copied", f"to another place, after {steps} steps", bool(faults), result)


def _same(run: Path, whole: Path) -> list[str]:
    from sameness import differences

    expected = ("ganvas_identity", "log.txt", "config", "latent")
    return [f for f in differences(run, whole) if not any(word in f for word in expected)]
