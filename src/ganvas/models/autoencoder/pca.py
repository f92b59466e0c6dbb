"""The linear baseline of all autoencoders, fitted and not trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.models.base import GenerativeModule
from ganvas.models.latent import checked_width
from ganvas.nn.gather import gathered
from ganvas.types import Batch, ImageShape

MAX_PIXELS = 4096


class PCA(GenerativeModule):
    """minimise E_x ‖x − μ − WᵀW (x − μ)‖² over orthonormal rows W `(Z, P)` (Hotelling 1933).

    The optimum of every linear autoencoder of width Z under the squared error (Baldi & Hornik
    1989). The first epoch's batches add to float64 sums of x and x·xᵀ, from which mean and
    components follow exactly, whenever they are asked for; batches of later epochs add nothing.
    The entry of each component that is largest in magnitude is positive.

    Decoded images are not clamped to [0, 1], so that codes and images stay linear in each other.
    Parts: `loss` and `mse`, the squared error summed over pixels; `variance`, the squared distance
    from the mean, so that 1 − mse / variance is the share explained.

    Deviation: images that training drops with an incomplete last batch are not in the sums.

    Args:
        image_shape: (C, H, W) of P = C·H·W ≤ 4096 pixels: the sums are `(P, P)`.
        latent_dim: number Z of components.
        num_train: training images.

    Raises:
        ValueError: if there are too many pixels, or more components than pixels or images.
    """

    monitor: ClassVar[str | None] = "val/loss"
    higher_is_better: ClassVar[Mapping[str, bool]] = {"loss": False, "mse": False}

    count: Tensor
    total: Tensor
    products: Tensor
    solved_count: Tensor
    mean: Tensor
    components: Tensor

    def __init__(self, *, image_shape: ImageShape, latent_dim: int, num_train: int) -> None:
        super().__init__(image_shape=image_shape)
        self.automatic_optimization = False
        self.latent_dim = checked_width(latent_dim)
        num_pixels = math.prod(image_shape)
        if num_pixels > MAX_PIXELS:
            raise ValueError(
                f"image_shape must have at most {MAX_PIXELS} values, got {num_pixels}; set "
                f"dataset.image_size to {math.isqrt(MAX_PIXELS // image_shape[0])} or less"
            )
        if latent_dim > min(num_pixels, num_train):
            raise ValueError(
                f"latent_dim must be at most {min(num_pixels, num_train)}, the smaller of "
                f"{num_pixels} pixels and {num_train} training images, got {latent_dim}; choose a "
                "smaller model.latent_dim"
            )
        shapes = {"count": (), "total": (num_pixels,), "products": (num_pixels, num_pixels)}
        fitted = {"solved_count": (), "mean": (num_pixels,), "components": (latent_dim, num_pixels)}
        for name, shape in {**shapes, **fitted}.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.register_state_dict_pre_hook(lambda model, *_: model.solve())

    def networks(self) -> Mapping[str, nn.Module]:
        """None: nothing is trained by gradients."""
        return {}

    @property
    def optimizer_names(self) -> list[str]:
        """None."""
        return []

    def configure_optimizers(self) -> Any:
        """None."""
        return []

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the batch of all ranks to the sums, in the first epoch."""
        del batch_idx
        if self.step == 0:  # sums taken over from another run are not continued
            for sums in (self.count, self.total, self.products, self.solved_count):
                sums.zero_()
        if self.step < self.trainer.num_training_batches:
            x = gathered(batch.x).flatten(1).double()
            self.count += len(x)
            self.total += x.sum(0)
            self.products += x.T @ x
        variance = self.products.trace() / self.count - (self.total / self.count).square().sum()
        self.advance(batch, {"variance": variance})

    @torch.no_grad()
    def solve(self) -> None:
        """Mean and components from the sums, unless they are those of these sums already."""
        if self.count.is_meta or self.solved_count == self.count:
            return
        mean = self.total / self.count
        covariance = self.products / self.count - mean.outer(mean)
        rows = torch.linalg.eigh(covariance).eigenvectors.T.flip(0)[: self.latent_dim]
        largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
        self.mean.copy_(mean)
        self.components.copy_(torch.where(largest < 0, -rows, rows))
        self.solved_count.copy_(self.count)

    def evaluation_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """See the class."""
        error = (self.reconstruct(batch.x) - batch.x).square().flatten(1).sum(1).mean()
        variance = (batch.x.flatten(1) - self.mean).square().sum(1).mean()
        return {"loss": error, "mse": error, "variance": variance}

    def training_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """As in evaluation."""
        return self.evaluation_parts(batch)

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes W(x − μ), `(B, Z)`."""
        self.solve()
        return ((x.flatten(1).double() - self.mean) @ self.components.T).to(x.dtype)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to images Wᵀz + μ, `(B, C, H, W)`, also outside [0, 1]."""
        self.solve()
        pixels = z.double() @ self.components + self.mean
        return pixels.to(z.dtype).unflatten(1, self.image_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions."""
        return self.decode(self.encode(x))
