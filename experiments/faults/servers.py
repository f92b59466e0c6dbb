"""W&B's server as a stub that hangs, closes, fails or is not there, from the start or later."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from driven import Drive, drive
from sameness import differences
from stops import Paused, faults_of, resumed, run_in, size, status_of, trained
from trials import Trial

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "tracking"))

from fake_wandb import FakeServer, fake_server

MODES = ("silent", "closes", "fails", "refuses")
WORDS = {"silent": "hangs", "closes": "closes", "fails": "answers 500", "refuses": "refuses"}
ONLINE = ("logger=wandb", "logger.init_timeout=2", "logger.finish_timeout=3")
BOUND = 30.0  # seconds that a server may cost a run in all, on a busy machine


def variables(url: str) -> dict[str, str]:
    """An account at a server."""
    return {"WANDB_MODE": "online", "WANDB_BASE_URL": url, "WANDB_API_KEY": "a" * 40}


def servers(folder: Path, random: Random) -> Iterator[Trial]:
    """Training goes on whatever the server does; nothing is lost here."""
    whole = trained(folder / "whole", *ONLINE)
    place = folder / "nobody"
    started = drive(place, "train", *size(*ONLINE), **variables("http://127.0.0.1:9"))
    yield _after(started, whole, subject="no server", began=time.monotonic())
    for mode in MODES:
        for moment in ("from the start", "in mid-run", "at the end"):
            if mode == "refuses" and moment != "from the start":
                continue  # W&B takes that for an end, and says nothing
            with fake_server() as server:
                yield _troubled(folder, server, mode, moment, whole=whole, random=random)


def _troubled(
    folder: Path, server: FakeServer, mode: str, moment: str, *, whole: Path, random: Random
) -> Trial:
    place = folder / f"{mode}-{moment.replace(' ', '-')}"
    after = {"from the start": 0, "in mid-run": random.randrange(5, 35), "at the end": 40}[moment]
    hook = Paused(after) if after else None
    setattr(server, mode, not after)
    started = drive(place, "train", *size(*ONLINE), hook=hook, **variables(server.url))
    if after:
        started.until((place / "paused").exists)
        setattr(server, mode, True)
        (place / "go").touch()
    subject = f"a server that {WORDS[mode]} {moment}"
    return _after(started, whole, subject=subject, began=time.monotonic())


def _after(started: Drive, whole: Path, *, subject: str, began: float) -> Trial:
    """The run is finished and complete in time, and W&B's file waits for `ganvas sync`."""
    code, run = started.code(), run_in(started.place)
    seconds = time.monotonic() - began
    faults = faults_of(started)
    if run is None or code != 0 or status_of(run) != "finished":
        faults.append(f"it ended with {code}: {started.printed()[-300:]}")
    else:
        faults += [f for f in differences(run, whole) if not f.startswith("log.txt")]
        if not any(file.stat().st_size for file in run.glob("wandb/*run-*/*.wandb")):
            faults.append("W&B's file is not there")
        listed = drive(started.place, "sync", str(run), "dry_run=true")
        if listed.code() != 0 or run.name not in listed.printed():
            faults.append(f"sync does not find it: {listed.printed()[-300:]}")
    if seconds > BOUND:
        faults.append(f"it took {seconds:.0f} s")
    result = "; ".join(faults) or "trained to the same bits, what was not sent waits for sync"
    return Trial("W&B server", subject, bool(faults), result)


def resumed_later(folder: Path, random: Random) -> Iterator[Trial]:
    """A run is killed while the server hangs, and resumed when it answers."""
    whole = trained(folder / "whole", *ONLINE)
    for number in range(2):
        place, steps = folder / f"killed-{number}", random.randrange(7, 35)
        with fake_server() as server:
            there = variables(server.url)
            started = drive(place, "train", *size(*ONLINE), hook=Paused(steps), **there)
            started.until((place / "paused").exists)
            server.silent = True
            started.kill_group()
            started.code()
            server.silent = False
            run = run_in(place)
            faults = resumed(place, run, whole, **there) if run else ["there is no run"]
        result = "; ".join(faults) or "resumed to the same bits"
        yield Trial("W&B server", f"hangs, run killed after {steps} steps", bool(faults), result)
