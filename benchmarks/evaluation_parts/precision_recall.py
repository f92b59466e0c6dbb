"""Precision, recall, density and coverage: memory and time at the size of common protocols.

Memory is the peak of a process of its own that does nothing else, the libraries' share included.
Speed is against whole matrices of distances by `torch.cdist`, the way of most scripts, where these
fit in memory.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor

from ganvas.metrics.precision_recall import overlap

LIMIT_MIB = 2048
K = 5
LARGE, SMALL = (50_000, 512), (5_000, 512)


def measure(*, rounds: int = 1) -> list[dict[str, Any]]:
    """Rows of results: one for memory at 50,000 × 512, one for speed at 5,000 × 512.

    Args:
        rounds: in which ours and theirs are timed in turn; the fastest of each counts.
    """
    return [_memory(*LARGE), _speed(*SMALL, rounds=rounds)]


def drawn(num: int, width: int) -> tuple[Tensor, Tensor]:
    """Features that are not negative, as those after a ReLU, real and fake."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(num, width, generator=generator) for _ in range(2))
    return real.relu_(), fake.mul_(1.05).relu_()


def by_matrices(real: Tensor, fake: Tensor) -> list[float]:
    """The usual way: three matrices, in float32."""
    within = [torch.cdist(x, x).kthvalue(K + 1).values for x in (real, fake)]
    between = torch.cdist(real, fake)
    inside = between <= within[0][:, None]
    return [
        inside.any(0).double().mean().item(),
        (between <= within[1]).any(1).double().mean().item(),
        inside.sum(0).double().mean().item() / K,
        inside.any(1).double().mean().item(),
    ]


def _memory(num: int, width: int) -> dict[str, Any]:
    command = [sys.executable, __file__, str(num), str(width)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {
        "part": "precision_recall",
        "case": f"memory at {num:,} × {width}",
        **json.loads(done.stdout),
        "limit_mib": LIMIT_MIB,
    }


def _speed(num: int, width: int, *, rounds: int) -> dict[str, Any]:
    real, fake = drawn(num, width)
    ours, theirs = [], []
    for _ in range(rounds):
        seconds, mine = _timed(lambda: [v.item() for v in overlap(real, fake, k=K).values.values()])
        ours.append(seconds)
        seconds, other = _timed(lambda: by_matrices(real, fake))
        theirs.append(seconds)
    return {
        "part": "precision_recall",
        "case": f"speed at {num:,} × {width}",
        "ours_s": min(ours),
        "cdist_s": min(theirs),
        "ratio": min(theirs) / min(ours),
        "largest_difference": max(abs(a - b) for a, b in zip(mine, other, strict=True)),
    }


def _timed(function: Any) -> tuple[float, list[float]]:
    began = time.perf_counter()
    values = function()
    return time.perf_counter() - began, values


def _alone(num: int, width: int) -> dict[str, float]:
    """What the process of its own prints."""
    real, fake = drawn(num, width)
    began = time.perf_counter()
    values = overlap(real, fake, k=K).values
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    named = {name: value.item() for name, value in values.items()}
    return {"ours_s": seconds, "peak_mib": peak, **named}


if __name__ == "__main__":
    print(json.dumps(_alone(*map(int, sys.argv[1:]))))
