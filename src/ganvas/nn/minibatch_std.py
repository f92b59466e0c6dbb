"""Minibatch standard deviation (Karras et al. 2018, arXiv:1710.10196, sec. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class MinibatchStd(nn.Module):
    """Appends one feature map that says how much the images of a group differ.

    Standard deviation over the group at each feature and place, √(σ² + 10⁻⁸), averaged to one
    number for the group. A critic that sees it can tell a generator that repeats itself.

    A batch of B images is cut, in order, into max(1, ⌊B / group_size⌋) groups whose sizes differ
    by one at most, so that no image is left alone. Deviation: the paper takes the whole batch; the
    groups are those of its authors' code, which asks that they divide the batch.

    Args:
        group_size: least number of images in a group, where the batch has as many.

    Raises:
        ValueError: if the group is smaller than 2.
    """

    def __init__(self, group_size: int) -> None:
        super().__init__()
        if group_size < 2:  # noqa: PLR2004
            raise ValueError(
                f"minibatch_std must be 0 for none, or a group of at least 2 images, got "
                f"{group_size}; 4 is the usual one"
            )
        self.group_size = group_size

    def forward(self, h: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C + 1, H, W)`."""
        groups = h.tensor_split(max(1, len(h) // self.group_size))
        spread = torch.cat([deviation(group).expand(len(group)) for group in groups])
        return torch.cat([h, spread.view(-1, 1, 1, 1).expand(-1, 1, *h.shape[2:])], dim=1)


def deviation(group: Tensor) -> Tensor:
    """Mean over features and places of the standard deviation over images `(G, C, H, W)`; scalar.

    The variance is the biased one.
    """
    return (group.var(dim=0, correction=0) + EPSILON).sqrt().mean()


def minibatch_std_layers(group_size: int) -> list[nn.Module]:
    """The layer, or nothing for 0; as many maps are appended as the list is long."""
    return [MinibatchStd(group_size)] if group_size else []
