"""Tensors of all ranks in one."""

from __future__ import annotations

import torch
from torch import Tensor


def gathered(x: Tensor) -> Tensor:
    """`x` `(B, …)` of every rank, rank by rank, `(ranks · B, …)`; `x` itself where there is one.

    For statistics that all ranks must share: the result is the global batch in its own order, so
    sums over it are those of a single rank. Every rank must call it with the same shape, and no
    gradient passes.
    """
    if not torch.distributed.is_initialized():
        return x.detach()
    mine = x.detach().contiguous()
    parts = [torch.empty_like(mine) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, mine)
    return torch.cat(parts)
