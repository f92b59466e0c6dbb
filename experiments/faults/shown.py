"""What W&B was told of a run that was killed and resumed: all its offline files together."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sameness import differences

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "tracking"))

from wandb_reader import OfflineRun, read_as_it_is, read_wandb

_TIMES = ("_", "seconds", "train/images_per_second", "usage/")


def wandb_differences(run: Path, whole: Path) -> list[str]:
    """As `differences`; and one id, and each figure and picture shown once."""
    ours, theirs = offline_files(run), offline_files(whole)
    ids = {file.run_id for file in ours if file.run_id}  # none where all of it was lost
    found = differences(run, whole)
    if len(ids) != 1:
        found.append(f"W&B: {len(ids)} ids in {len(ours)} files: {sorted(ids)}")
    shown, expected = _shown(ours), _shown(theirs)
    for row in (shown - expected) | (expected - shown):
        found.append(f"W&B: {row} shown {shown[row]} times instead of {expected[row]}")
    return found


def offline_files(run: Path) -> list[OfflineRun]:
    """What each of a run's offline files tells, the oldest first."""
    *killed, last = sorted(run.glob("wandb/offline-run-*/run-*.wandb"))
    return [*map(read_as_it_is, killed), read_wandb(last)]


def _shown(files: list[OfflineRun]) -> Counter[tuple[Any, str, str]]:
    """How often each value of each step was shown, pictures by their content."""
    found: Counter[tuple[Any, str, str]] = Counter()
    for row in (row for file in files for row in file.history):
        for name, value in row.items():
            if not name.startswith(_TIMES) and name not in ("step", "images_seen"):
                told = value.get("sha256") if isinstance(value, dict) else repr(value)
                found[row["step"], name, str(told)] += 1
    return found
