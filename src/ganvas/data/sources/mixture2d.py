"""Mixtures of Gaussians in the plane: the classic test of mode collapse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ganvas.data.content import combine
from ganvas.data.options import whole
from ganvas.errors import ConfigError
from ganvas.types import POINT_SHAPE, ImageShape, Split

if TYPE_CHECKING:
    from torch import Tensor

_VERSION = 1
"""Raise it when the same recipe would give other points."""

_FARTHEST = 6.0
"""Noise is cut off at so many σ: one coordinate in 5·10⁸."""

Values = TypeVar("Values", np.ndarray, "Tensor")


class Mixture2D:
    """Equally likely modes N(centre, σ²·I) on a square grid, as images of shape (2, 1, 1).

    The 5 × 5 grid with spacing 2 and σ = 0.05 is that of VEEGAN (Srivastava et al. 2017,
    arXiv:1705.07761, sec. 4) and PacGAN (Lin et al. 2018, arXiv:1712.04086, sec. 4.1). Pixels are
    float32: in 8 bits a step would be 0.7 σ. [0, 1] stands for the square that reaches `margin`
    beyond the outermost centres; `to_points` maps back. The class label is the mode.

    Args:
        side: modes along each axis; their centres have mean 0.
        spacing: from one centre to the next.
        sigma: σ, of each coordinate; noise is cut off at 6 σ.
        margin: of the square around the outermost centres.
        num_train: training points.
        num_test: test points.
        seed: of both.

    Raises:
        ConfigError: a value out of range, by its key.
    """

    def __init__(
        self,
        *,
        side: int,
        spacing: float,
        sigma: float,
        margin: float,
        num_train: int,
        num_test: int,
        seed: int,
    ) -> None:
        side = whole("source.side", side, least=1)
        axis = (np.arange(side) - (side - 1) / 2) * _positive("spacing", spacing)
        self.centers = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        """`(modes, 2)`, by class."""
        self.sigma = _positive("sigma", sigma)
        if not margin >= _FARTHEST * sigma:
            raise ConfigError(
                f"dataset.source.margin: must be at least 6 sigma = {_FARTHEST * sigma:g}, so that "
                f"all points are in the square, got {margin}"
            )
        self.extent = float(np.abs(self.centers).max() + margin)
        """Half the side of the square."""
        self._counts = {
            "train": whole("source.num_train", num_train, least=1),
            "test": whole("source.num_test", num_test, least=0),
        }
        self._seed = whole("source.seed", seed, least=0)

    @property
    def image_shape(self) -> ImageShape:
        """(2, 1, 1)."""
        return POINT_SHAPE

    @property
    def num_classes(self) -> int | None:
        """Number of modes."""
        return len(self.centers)

    def count(self, split: Split) -> int | None:
        """As the config says."""
        return self._counts["test" if split == "test" else "train"]

    def fingerprint(self) -> str:
        """Hash of the recipe: all that decides the points."""
        recipe = f"{self.sigma} {self.extent} {self._counts} {self._seed} {_FARTHEST}"
        return combine("mixture2d float32", str(_VERSION), recipe, str(self.centers.tolist()))

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 points `(N, 2, 1, 1)` in [0, 1], drawn now, and their modes."""
        num = self.count(split)
        rng = np.random.default_rng((self._seed, split == "test"))
        modes = rng.integers(len(self.centers), size=num)
        noise = rng.standard_normal((len(modes), 2)).clip(-_FARTHEST, _FARTHEST)
        points = self.centers[modes] + self.sigma * noise
        unit = (points / self.extent + 1) / 2
        return unit.astype(np.float32).reshape(-1, *POINT_SHAPE), modes

    def to_points(self, images: Values) -> Values:
        """Images `(N, 2, 1, 1)` in [0, 1] to coordinates `(N, 2)`."""
        return (2 * images.reshape(-1, 2) - 1) * self.extent


def _positive(key: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ConfigError(f"dataset.source.{key}: must be positive, got {value}")
    return float(value)
