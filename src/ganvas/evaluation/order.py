"""Values of all ranks, in the order of the images they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def in_order(
    mine: Sequence[tuple[int, Mapping[str, Tensor]]], *, world_size: int = 1
) -> dict[str, Tensor]:
    """Tensors `(N, …)` by name on the CPU, the same on every rank to the bit.

    Args:
        mine: this rank's parts: position of the first image, and tensors `(B, …)` by name. A rank
            may have none.
        world_size: number of processes.

    Raises:
        ValueError: if no rank has any.
    """
    local = [(start, {k: v.detach().cpu() for k, v in part.items()}) for start, part in mine]
    parts = local
    if world_size > 1:
        everyone: list[list[tuple[int, dict[str, Tensor]]]] = [[] for _ in range(world_size)]
        torch.distributed.all_gather_object(everyone, local)
        parts = [part for rank in everyone for part in rank]
    if not parts:
        raise ValueError("there is no image to be measured; give at least one")
    parts.sort(key=lambda part: part[0])
    return {name: torch.cat([part[name] for _, part in parts]) for name in parts[0][1]}
