"""What a search in latent space looks for, how it goes down, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganvas.protocols import Encodes

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

NUM = 6
"""Images where none were named."""

Objective = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Target:
    """Images `(N, C, H, W)` to be found, and what is known of them."""

    x: Tensor
    y: Tensor | None
    names: Sequence[str]
    notes: Sequence[str]
    true: Tensor | None
    """Codes `(N, Z)` that they were decoded from, where they are the model's own samples."""


@dataclass(frozen=True)
class Found:
    """The best code of each image by each shown step, of the start that ended best.

    Attributes:
        codes: `(K, N, Z)`.
        images: `(K, N, C, H, W)`.
        errors: squared error per pixel, `(K, N)`.
        steps: K of them, from 0 to the last.
    """

    codes: Tensor
    images: Tensor
    errors: Tensor
    steps: Sequence[int]


def descend(
    objective: Objective, start: Tensor, *, steps: int, lr: float, kept: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Each row of `start` `(M, Z)` followed downhill by Adam, on its own.

    The rate falls from `lr` to 0 by a half cosine. What is kept is the best code so far, and so
    the result is no worse than its start.

    Args:
        objective: from codes `(M, Z)` to values `(M,)`, each of its own row.
        start: codes.
        steps: of Adam.
        lr: its rate at first.
        kept: steps to look at; 0 is before the first.

    Returns:
        The best codes so far `(K, M, Z)` and their values `(K, M)`.
    """
    z = start.detach().clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=lr)
    best, least = start.clone(), torch.full_like(start[:, 0], torch.inf)
    codes, values = [], []
    for step in range(steps + 1):
        with torch.enable_grad():
            value = objective(z)
        better = value.detach() < least
        best = torch.where(better[:, None], z.detach(), best)
        least = torch.where(better, value.detach(), least)
        if step in kept:
            codes.append(best)
            values.append(least)
        adam.param_groups[0]["lr"] = lr * (1 + np.cos(np.pi * step / steps)) / 2
        (z.grad,) = torch.autograd.grad(value.sum(), z)
        adam.step()
    return torch.stack(codes), torch.stack(values)


def squares(difference: Tensor) -> Tensor:
    """Sum of squares of each row."""
    return difference.square().flatten(1).sum(1)


def milestones(steps: int, num: int) -> list[int]:
    """At most so many steps from 0 to the last, denser at first, where most happens."""
    return [0, *sorted({round(step) for step in np.geomspace(1, steps, num)[1:]})]


def chosen_target(scene: Scene) -> Target:
    """The given images, or samples of the model, whose codes are known."""
    if scene.request.images == "random":
        codes = scene.codes(NUM)
        images = scene.decode(codes.z, codes.y)
        note = "targets are samples of the model itself, so that a perfect search has no error"
        return Target(images, codes.y, codes.names, [note], codes.z)
    found = scene.inputs(NUM)
    y = found.given(scene.view.module)
    return Target(found.x, y, found.captions, found.notes, None)


def encoded_target(scene: Scene, target: Target) -> Tensor | None:
    """Codes `(N, Z)` by the encoder, where there is one."""
    if not isinstance(scene.view.module, Encodes):
        return None
    return scene.encode(target.x, target.y)
