"""What each of three processes does in `test_ranks.py`: metrics over two of them and over three."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganvas.metrics.frechet import FrechetDistance
from ganvas.metrics.kernel import KernelDistance

WIDTH = 8
WORLDS = (2, 3)
CASES = {
    "many": (90, 71),
    "few": (7, 6),  # fewer than features: kept as they are, and some ranks have only one or two
    "mixed": (90, 5),
}
SHARES = {"even": (1, 1, 1), "uneven": (1, 5, 3), "an empty rank": (0, 4, 1)}


def features(num: int, *, seed: int) -> Tensor:
    """Far from zero, and depending on each other; float32 as networks give them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=generator)
    return torch.randn(num, WIDTH, generator=generator) @ mixing + 30


def pair(case: str) -> tuple[Tensor, Tensor]:
    """All real and all fake features."""
    return features(CASES[case][0], seed=1), features(CASES[case][1], seed=2)


def share(x: Tensor, rank: int, shares: tuple[int, ...]) -> Tensor:
    """This rank's rows."""
    ends = [round(len(x) * sum(shares[:i]) / sum(shares)) for i in range(len(shares) + 1)]
    return x[ends[rank] : ends[rank + 1]]


def work(rank: int, folder: str) -> None:
    """Values of both metrics of each case, written to `folder`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=max(WORLDS)
    )
    for world in WORLDS:
        group = torch.distributed.new_group(list(range(world)))
        if rank >= world:
            continue
        found = {
            (case, name): measured(case, rank, shares[:world], group)
            for case in CASES
            for name, shares in SHARES.items()
        }
        torch.save(found, Path(folder) / f"{world}-{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def measured(case: str, rank: int, shares: tuple[int, ...], group: object) -> dict[str, Tensor]:
    """Fréchet and kernel distance with its error, in halves with a value in between; counts."""
    frechet, kernel = FrechetDistance(process_group=group), KernelDistance(process_group=group)
    real, fake = (share(x, rank, shares) for x in pair(case))
    for half in (0, 1):
        for metric in (frechet, kernel):
            metric.update(real[half::2], real=True)
            metric.update(fake[half::2], real=False)
        found = {"frechet": frechet.compute(), "kernel": torch.stack(kernel.compute())}
    frechet.sync(process_group=group)
    counts = [frechet.moments(name).num for name in ("real", "fake")]
    frechet.unsync()
    own = [len(frechet.rows("real")) + folded(frechet), len(real)]
    return {**found, "counts": torch.tensor(counts), "own": torch.tensor(own)}


def folded(metric: FrechetDistance) -> int:
    """Real features that are no longer kept one by one, on this rank."""
    rows = metric.rows("real_folded")
    return int(rows[0, 0]) if len(rows) else 0
