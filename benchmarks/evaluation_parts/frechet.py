"""The Fréchet step at D = 2048: ours against torchmetrics' and SciPy's on the same features.

Timed is what follows the moments: `torchmetrics` takes the eigenvalues of Σ₁ Σ₂, SciPy the matrix
root of it, as the first FID code did. Ours is timed twice: the first call finds the root of the
real covariance, later ones have it from the cache. Peers have nothing to cache. Of fewer images
than features there is no root to be found: the nuclear norm of their product takes its place.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from ganvas.metrics.frechet import Moments, moments_distance

WIDTH = 2048
AGREE = 1e-6


def measure(*, rounds: int = 1) -> list[dict[str, Any]]:
    """Rows of part, case, ours_s, peer, peer_s and ratio (peer over ours; medians of rounds)."""
    rows = []
    for num in (5000, 1000):
        real, fake = features(num, seed=0), features(num, seed=1)
        one, other = Moments.of(real), Moments.of(fake)
        known = one.with_root()  # of few images it is no work
        ours: dict[str, Callable[[], Any]] = {
            "first call": lambda a=one, b=other: moments_distance(a, b),
            "cached root": lambda a=known, b=other: moments_distance(a, b),
        }
        peers: dict[str, Callable[[], Any]] = {
            "torchmetrics": lambda a=one, b=other: theirs(a, b),
        }
        if num > WIDTH:  # it has no root of a singular matrix
            peers["scipy"] = lambda a=one, b=other: by_sqrtm(a, b)
        timed = {name: timed_in_turn(call, rounds) for name, call in (ours | peers).items()}
        check([value for _, value in timed.values()])
        rows += [
            {
                "part": "frechet",
                "case": f"D={WIDTH}, N={num}, {case}",
                "ours_s": timed[case][0],
                "peer": peer,
                "peer_s": timed[peer][0],
                "ratio": timed[peer][0] / timed[case][0],
            }
            for case in ours
            for peer in peers
        ]
    return rows


def features(num: int, *, seed: int) -> Tensor:
    """Positive and of a falling spectrum, as those of Inception are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num, WIDTH, generator=generator, dtype=torch.float64)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(9)).double()
    scales = torch.arange(1, WIDTH + 1, dtype=torch.float64).rsqrt()
    return ((x * scales) @ mixing / WIDTH**0.5 + 0.05 * seed).relu()


def theirs(real: Moments, fake: Moments) -> float:
    """As torchmetrics computes it."""
    return _compute_fid(real.mean, real.covariance, fake.mean, fake.covariance).item()


def by_sqrtm(real: Moments, fake: Moments) -> float:
    """As the first FID code computed it."""
    cross = sqrtm(real.covariance.numpy() @ fake.covariance.numpy()).trace().real
    spread = real.covariance.trace() + fake.covariance.trace() - 2 * cross
    return float((real.mean - fake.mean).square().sum() + spread)


def timed_in_turn(call: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median seconds, and the value."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        value = float(call())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), value


def check(values: list[float]) -> None:
    """All ways gave the same value, or their times mean nothing."""
    low, high = min(values), max(values)
    if high - low > AGREE * abs(high):
        raise ValueError(f"values must agree to {AGREE:g}, got {values}; mend the formula first")


if __name__ == "__main__":
    for row in measure():
        print(row)
