"""The classes of faults but for kills: what is done is in the modules, each named by its class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

import disks
import limits
import places
import servers
import stops
from trials import FaultClass, Trial


def one_after_another(*parts: FaultClass) -> FaultClass:
    """Several as one class, each in a folder of its own."""

    def tried(folder: Path, random: Random) -> Iterator[Trial]:
        return chain.from_iterable(part(folder / part.__name__, random) for part in parts)

    return tried


CLASSES: dict[str, FaultClass] = {
    "disk full": disks.full,
    "read-only folder": disks.read_only,
    "W&B server": one_after_another(servers.servers, servers.resumed_later),
    "a rank killed": stops.dead_ranks,
    "NaN or infinity": limits.not_finite,
    "out of memory": limits.out_of_memory,
    "signals": one_after_another(stops.signals, stops.at_points, stops.other_commands),
    "two processes on one run": disks.two_processes,
    "odd names": places.odd_names,
    "data changed": disks.changed_data,
    "run copied": places.copied,
}
ALONE: frozenset[str] = frozenset()
