"""What a job is given of this machine: GPUs, or a share of the CPU's threads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from ganvas.errors import ConfigError


@dataclass(frozen=True)
class Slot:
    """A job's part of the machine.

    Attributes:
        gpus: indices on this machine; None for a job on the CPU.
        threads: CPU threads.
    """

    gpus: tuple[int, ...] | None
    threads: int

    def environment(self) -> dict[str, str]:
        """What a job's process sees of the machine, as its ranks will."""
        visible = [v for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v]
        shown = ",".join(visible[i] if visible else str(i) for i in self.gpus or ())
        return {"CUDA_VISIBLE_DEVICES": shown, "OMP_NUM_THREADS": str(self.threads)}


@final
class Slots:
    """Room for `num_jobs` jobs at once.

    Jobs on GPUs are spread evenly; with more jobs than GPUs several share one. Each job has an
    equal share of the CPU's threads.

    Args:
        num_jobs: at once; None for one per GPU, and one where there is none.
        num_gpus: of this machine.
        num_threads: of the CPU.
    """

    def __init__(self, num_jobs: int | None, *, num_gpus: int, num_threads: int) -> None:
        self.num_jobs = num_jobs or max(1, num_gpus)
        self.threads = max(1, num_threads // self.num_jobs)
        self._per_gpu = -(-self.num_jobs // num_gpus) if num_gpus else 0
        self._load = Counter(dict.fromkeys(range(num_gpus), 0))
        self._busy = 0

    def take(self, num_gpus: int, *, threads: int | None = None) -> Slot | None:
        """Room for a job on that many GPUs (0: on the CPU), or None where there is none now.

        Args:
            num_gpus: that the job needs.
            threads: that it had before it was interrupted; None for its share.

        Raises:
            ConfigError: there will never be room.
        """
        if num_gpus > len(self._load):
            raise ConfigError(
                f"trainer.devices={num_gpus}: this machine has {len(self._load)} GPUs"
            )
        free = [gpu for gpu, load in sorted(self._load.items(), key=_load) if load < self._per_gpu]
        if self._busy >= self.num_jobs or len(free) < num_gpus:
            return None
        self._busy += 1
        gpus = tuple(sorted(free[:num_gpus]))
        self._load.update(gpus)
        return Slot(gpus if num_gpus else None, threads or self.threads)

    def give(self, slot: Slot) -> None:
        """The job has ended."""
        self._busy -= 1
        self._load.subtract(slot.gpus or ())


def _load(item: tuple[int, int]) -> int:
    return item[1]


def num_gpus(config: Mapping[str, Any]) -> int:
    """GPUs of this machine that a cell's trainer takes."""
    import torch

    trainer = config["trainer"]
    if trainer["accelerator"] == "cpu" or not torch.cuda.is_available():
        return 0
    return int(trainer["devices"])
