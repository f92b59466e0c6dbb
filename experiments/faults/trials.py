"""What a fault was tried on, and what became of it: one line of `results/*.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Trial:
    """One fault, done to one run.

    Attributes:
        fault: its class, a row of the table in `docs/reliability.md`.
        subject: what was done to which run, e.g. "vae, SIGKILL after 37 steps".
        lost: whether anything was lost, wrong or left behind.
        result: what was seen, in a few words; the same for all good trials of a class.
    """

    fault: str
    subject: str
    lost: bool
    result: str


FaultClass = Callable[[Path, Random], Iterable[Trial]]
"""Tries one class of faults, in an empty folder of its own, at moments drawn from a generator."""


def write(name: str, trials: Iterable[Trial]) -> None:
    """`results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    content = [asdict(trial) for trial in trials]
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
