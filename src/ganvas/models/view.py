"""A trained model as notebooks and commands use it: its verbs, in [0, 1], checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.errors import RunError
from ganvas.nn.noise import truncated
from ganvas.protocols import (
    Conditional,
    Decodes,
    Encodes,
    HasPosterior,
    Reconstructs,
    Samples,
)

if TYPE_CHECKING:
    from ganvas.models.base import GenerativeModule
    from ganvas.types import GaussianPosterior


class ModelView:
    """A trained model for notebooks: evaluation mode, no gradients, images in [0, 1].

    Attributes:
        module: the LightningModule itself, in its own value range.
    """

    def __init__(self, module: GenerativeModule) -> None:
        self.module = module.eval().requires_grad_(False)

    def sample(
        self,
        num: int,
        *,
        seed: int = 0,
        noise: Tensor | None = None,
        y: Tensor | int | Sequence[int] | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """`num` new images `(num, C, H, W)` in [0, 1].

        Args:
            num: how many.
            seed: of the draw.
            noise: codes `(num, Z)`, e.g. of a fitted prior (`run.prior("gmm").codes(num, seed=0)`);
                drawn from the model's own prior where None.
            y: for a conditional model, labels `(num,)`, or a class or classes to take in turn;
                all K in turn where None.
            truncation: as in `prior_codes`, where no noise is given.

        Raises:
            RunError: if the model draws no samples, takes no labels, or its prior can't be
                truncated.
        """
        if noise is None:
            noise = self.prior_codes(num, seed=seed, truncation=truncation)
        elif truncation is not None:
            raise RunError(f"truncation={truncation}: noise is given and taken as it is; drop one")
        labels = self._labels(y) if isinstance(y, Tensor) else {"y": self.class_labels(num, y)}
        given = {name: part for name, part in labels.items() if part is not None}
        noise = noise.to(self.module.device)
        if isinstance(self.module, Samples):
            return self._to_unit(self.module.sample(num, noise=noise, **given))  # type: ignore[arg-type]
        self._require(Decodes, "sample", self._no_prior)
        return self._to_unit(self.module.decode(noise, **given))  # type: ignore[operator]

    def prior_codes(self, num: int, *, seed: int = 0, truncation: float | None = None) -> Tensor:
        """Codes `(num, Z)` from the model's prior.

        Args:
            num: how many.
            seed: of the draw.
            truncation: t > 0 for N(0, 1) cut to [−t, t] in the place of N(0, 1); see `truncated`.

        Raises:
            RunError: if the model draws no samples, or its prior can't be truncated.
        """
        self._require(Samples, "sample", self._no_prior)
        codes: Tensor = self.module.prior_codes(num, seed=seed)  # type: ignore[operator]
        other = None if self.module.standard_normal_prior else f"this {type(self.module).__name__}"
        return cut(codes, truncation, other=other)

    def class_labels(self, num: int, y: int | Sequence[int] | None = None) -> Tensor | None:
        """Labels `(num,)` for a conditional model; None for others.

        Args:
            num: how many.
            y: a class, or several that are taken in turn; all K, 0, 1, …, where None.

        Raises:
            RunError: if the model takes no labels, or has no such class.
        """
        if y is None:
            return self.module.class_labels(num) if isinstance(self.module, Conditional) else None
        asked = torch.as_tensor([y] if isinstance(y, int) else list(y))
        if not len(asked):
            raise RunError("y: must be a class (0, 1, …), a list of classes, or None, got []")
        return self._labels(asked)["y"][torch.arange(num, device=self.module.device) % len(asked)]

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`; `y` `(B,)` for a conditional model.

        Raises:
            RunError: if the model has no encoder, or labels are missing or not taken.
        """
        self._require(Encodes, "encode", "choose a model with an encoder")
        return self.module.encode(self._from_unit(x), **self._labels(y))  # type: ignore[operator]

    def posterior(self, x: Tensor, y: Tensor | None = None) -> GaussianPosterior:
        """Images `(B, C, H, W)` in [0, 1] to q(z|x), mu and log_var `(B, Z)`; `y` as in `encode`.

        Raises:
            RunError: if the model has no q(z|x), or labels are missing or not taken.
        """
        self._require(HasPosterior, "infer q(z|x)", "choose a VAE")
        return self.module.posterior(self._from_unit(x), **self._labels(y))  # type: ignore[operator]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in [0, 1]; `y` `(B,)` for a conditional model.

        Raises:
            RunError: if the model has no decoder, or labels are missing or not taken.
        """
        self._require(Decodes, "decode", "choose a model with a decoder")
        z = z.to(self.module.device)
        return self._to_unit(self.module.decode(z, **self._labels(y)))  # type: ignore[operator]

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to reconstructions in [0, 1]; `y` as in `encode`.

        Raises:
            RunError: if the model reconstructs nothing, or labels are missing or not taken.
        """
        self._require(Reconstructs, "reconstruct", "choose an autoencoder or a VAE")
        images = self._from_unit(x)
        return self._to_unit(self.module.reconstruct(images, **self._labels(y)))  # type: ignore[operator]

    def _labels(self, y: Tensor | None) -> dict[str, Tensor]:
        """`y` as the argument that a conditional model takes."""
        module, name = self.module, type(self.module).__name__
        if not isinstance(module, Conditional):
            if y is not None:
                raise RunError(f"{name} is not conditional: leave out y")
            return {}
        if y is None:
            raise RunError(f"{name} is conditional: give the labels y, integers (B,)")
        wrong = y[(y < 0) | (y >= module.num_classes) | (y != y.long())]
        if len(wrong):
            raise RunError(
                f"y: labels must be whole numbers from 0 to {module.num_classes - 1}, "
                f"got {wrong[0].item()}"
            )
        return {"y": y.to(module.device)}

    @property
    def _no_prior(self) -> str:
        """Why nothing is sampled, and the remedy."""
        if not isinstance(self.module, Encodes) or not isinstance(self.module, Decodes):
            return "its codes have no prior; choose vae, wae or gan"
        return "its codes have no prior; take prior=gmm, fitted to them, or choose vae, wae or gan"

    def _require(self, protocol: type, verb: str, remedy: str) -> None:
        if not isinstance(self.module, protocol):
            raise RunError(f"{type(self.module).__name__} can't {verb}: {remedy}")

    def _to_unit(self, images: Tensor) -> Tensor:
        low, high = self.module.value_range
        return ((images - low) / (high - low)).clamp(0, 1)

    def _from_unit(self, images: Tensor) -> Tensor:
        low, high = self.module.value_range
        return images.to(self.module.device) * (high - low) + low


def cut(codes: Tensor, truncation: float | None, *, other: str | None) -> Tensor:
    """Codes of N(0, I) truncated; without `truncation` as they are.

    Args:
        codes: `(num, Z)`.
        truncation: t > 0; see `truncated`.
        other: what has another prior than N(0, I); None where the codes are of that.

    Raises:
        RunError: if the codes are of another prior, or t is not positive.
    """
    if truncation is None:
        return codes
    if other is not None:
        raise RunError(
            f"truncation={truncation}: cuts the prior N(0, I), and {other} has another one; "
            "leave truncation out"
        )
    try:
        return truncated(codes, truncation)
    except ValueError as error:
        raise RunError(str(error)) from error
