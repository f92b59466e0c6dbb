"""What metrics that compare real and fake images in the features of a network have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen


class FeatureMetric(Metric, ABC):
    """Abstract: features of real and of fake images, from which `compute` makes a value.

    Its states `real` and `fake` are lists of features `(·, D)`, as they came; over ranks they are
    joined in the order of ranks, where a rank may have none. A final class gives `compute`, and
    other `update_features` where it keeps something else; all states must be lists of matrices.

    Args:
        features: from float images `(B, C, H, W)` in [0, 1] to `(B, D)`, or an `Extractor`; frozen
            and in evaluation mode from now on, no copy is made. None where `update` is given
            features in the place of images.
        num_features: D; None for that of the first features.
        keep_real: whether `reset` leaves the real images in.
        floats: whether float images in [0, 1] are taken too, as they are.
        metric: arguments of torchmetrics' `Metric`.

    Raises:
        ValueError: if `num_features` is less than 1.
    """

    is_differentiable = False
    full_state_update = False

    real: list[Tensor]
    fake: list[Tensor]

    def __init__(
        self,
        *,
        features: nn.Module | None = None,
        num_features: int | None = None,
        keep_real: bool = False,
        floats: bool = False,
        **metric: Any,
    ) -> None:
        super().__init__(**metric)
        if num_features is not None and num_features < 1:
            raise ValueError(
                f"num_features must be at least 1, got {num_features}; or leave it out"
            )
        self.features = None if features is None else _extractor(features)
        self.num_features, self.keep_real, self.floats = num_features, keep_real, floats
        for name in ("real", "fake"):
            self.add_state(name, [])

    @torch.no_grad()
    def update(self, images: Tensor, real: bool) -> None:
        """Add images.

        Args:
            images: uint8 `(B, C, H, W)`, with `floats` also floats in [0, 1]; without a network
                their features `(B, D)`. B may be 0.
            real: whether they are real.

        Raises:
            ValueError: if they are of another type, shape or width, not finite, or beyond [0, 1].
        """
        vectors = images
        if self.features is not None:
            self._check_images(images)
            vectors = self.features(images).vectors if len(images) else images.new_empty(0, 0)
        if len(vectors):
            self._check_vectors(vectors, real=real)
            self.update_features(vectors, real=real)

    def update_features(self, vectors: Tensor, *, real: bool) -> None:
        """Keep features; called by `update` with at least one, checked, `(B, D)`."""
        (self.real if real else self.fake).append(vectors)

    def rows(self, name: str) -> Tensor:
        """All rows `(N, D)` of a state, on this rank or, in `compute`, on all of them.

        Raises:
            ValueError: if ranks have features of different widths.
        """
        parts = [part for part in getattr(self, name) if len(part)]
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise ValueError(f"features must have one width on all ranks, got {widths}; use one")
        return torch.cat(parts) if parts else torch.zeros(0, self.width or 0, device=self.device)

    @property
    def width(self) -> int | None:
        """D, where it is given or there are features."""
        parts = (part for name in self._defaults for part in getattr(self, name))
        return self.num_features or next((part.shape[1] for part in parts if len(part)), None)

    def reset(self) -> None:
        """Forget all images, or the fake ones alone under `keep_real`."""
        kept = [name for name in self._defaults if name.startswith("real") and self.keep_real]
        parts = {name: list(getattr(self, name)) for name in kept}
        super().reset()
        for name, value in parts.items():
            setattr(self, name, value)

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any = None
    ) -> None:
        """As torchmetrics'; but each rank sends one matrix of one type, so that none waits."""
        for name in self._defaults:
            setattr(self, name, [self.rows(name).double()])
        super()._sync_dist(dist_sync_fn, process_group)

    def _check_images(self, images: Tensor) -> None:
        if images.dim() != len("BCHW"):
            raise ValueError(f"images must be (B, C, H, W), got {tuple(images.shape)}")
        if images.dtype == torch.uint8:
            return
        if not (self.floats and images.is_floating_point()):
            also = ", or floats in [0, 1]" if self.floats else "; floats=True takes floats, too"
            raise ValueError(f"images must be uint8, 0 to 255, got {images.dtype}{also}")
        if len(images) and not ((images >= 0) & (images <= 1)).all():
            low, high = images.aminmax()
            raise ValueError(
                f"float images must be in [0, 1], got {low:.4g} to {high:.4g}; clamp or scale them"
            )

    def _check_vectors(self, vectors: Tensor, *, real: bool) -> None:
        kind = "real" if real else "fake"
        if not vectors.is_floating_point() or vectors.dim() != len("ND"):
            raise ValueError(
                f"features must be floats (N, D), got {vectors.dtype} {tuple(vectors.shape)}; give "
                "the metric a network by `features` if these are images"
            )
        if vectors.shape[1] != (self.width or vectors.shape[1]):
            raise ValueError(
                f"features of {kind} images must be {self.width} wide as all others, got "
                f"{vectors.shape[1]}; use one network"
            )
        check_finite(vectors, name=f"features of {kind} images")


def check_finite(vectors: Tensor, *, name: str) -> None:
    """Every value is a finite number.

    Raises:
        ValueError: if one is NaN or infinite.
    """
    if not (finite := vectors.isfinite()).all():
        raise ValueError(
            f"{name} must be finite, got {int((~finite).sum())} NaN or infinite values among "
            f"{vectors.numel():,}; check the images, or whether training has diverged"
        )


def _extractor(features: nn.Module) -> Extractor:
    if isinstance(features, Extractor):
        return features
    return Extractor(features if isinstance(features, Frozen) else Frozen(features))
