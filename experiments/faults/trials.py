"""What a fault was tried on, and what became of it: one line of `results/*.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random


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
"""Tries one class of faults, in an empty folder of its own, at moments drawn from a generator.

It yields each trial as it is done (what is yielded is on disk at once, and `--trials N` takes the
first N), removes what a good trial has left in the folder, and leaves what a lost one has.
"""
