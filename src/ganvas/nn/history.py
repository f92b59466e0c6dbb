"""Old fakes, kept to be shown to the critic again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganvas.types import ImageShape


class ImageHistory(nn.Module):
    """A store of past fakes (Shrivastava et al. 2017, arXiv:1612.07828, sec. 2.3).

    Until it is full every new fake is kept and shown. Then each fake, with probability ½, is
    exchanged for an old one, whose place it takes: image by image, as in CycleGAN's code (Zhu et
    al. 2017, arXiv:1703.10593, sec. 4), where the paper exchanges one half of each batch.

    The images are buffers: they are in the checkpoint, and of several ranks all have those of
    rank 0, so there two ranks of b images do not equal one of 2b.

    Args:
        image_shape: (C, H, W).
        size: images kept; 0 for none.

    Raises:
        ValueError: if the size is below 0.
    """

    images: Tensor
    count: Tensor

    def __init__(self, *, image_shape: ImageShape, size: int) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"replay must be at least 0 images, got {size}")
        self.size = size
        self.register_buffer("images", torch.zeros(size, *image_shape))
        self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def exchanged(self, fake: Tensor, draws: Tensor) -> Tensor:
        """Fakes `(B, C, H, W)`, some of them old, by uniform draws below 1, `(B, 2)`."""
        if self.size == 0 or fake.is_meta:
            return fake
        count = int(self.count)
        room = min(self.size - count, len(fake))
        self.images[count : count + room] = fake[:room]
        self.count += room
        shown = fake.clone()
        swaps = (draws[:, 0] < 0.5).tolist()  # noqa: PLR2004
        places = (draws[:, 1] * self.size).long().tolist()
        for i in range(room, len(fake)):  # one after another: places may coincide
            if swaps[i]:
                shown[i] = self.images[places[i]]
                self.images[places[i]] = fake[i]
        return shown
