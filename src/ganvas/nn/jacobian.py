"""Norms of derivatives of a network's outputs by its inputs, themselves differentiable."""

from __future__ import annotations

import torch
from torch import Tensor


def projected_jacobian(outputs: Tensor, inputs: Tensor, directions: Tensor) -> Tensor:
    """Σ_k ‖v_kᵀ ∂outputs/∂inputs‖² of each sample, `(B,)`.

    With the unit vectors as directions this is ‖∂outputs/∂inputs‖²_F. With v ~ N(0, I) each
    summand is an unbiased estimate of it (Hutchinson 1990), since E v vᵀ = I. Samples must not
    depend on each other, as they do through batch norm in training.

    One backward pass for each direction, which is several times faster here than one batched over
    all of them, and needs less memory.

    Args:
        outputs: `(B, …)`, computed from `inputs` with gradients recorded.
        inputs: `(B, …)`, requiring gradients.
        directions: K vectors for each sample, `(K, B, …)` in the outputs' shape.
    """
    squares = [
        torch.autograd.grad(outputs, inputs, v, create_graph=True)[0].float().square()
        for v in directions.to(outputs)
    ]
    return torch.stack([s.flatten(1).sum(1) for s in squares]).sum(0)
