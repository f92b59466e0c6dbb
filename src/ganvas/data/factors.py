"""Known factors of variation: their grid, and those of the images of one split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ganvas.data.order import hash_order, share
from ganvas.errors import ConfigError
from ganvas.protocols import HasFactors, ImageSource
from ganvas.types import Split

TEST_SHARE = 0.1


def factor_grid(sizes: Sequence[int]) -> np.ndarray:
    """Every combination of factor values once, int64 `(product of sizes, F)`, the last fastest."""
    return np.indices(sizes, dtype=np.int64).reshape(len(sizes), -1).T


def tenth(num: int, *, split: Split, name: str) -> np.ndarray:
    """Indices of the images of a split, the first tenth of all in hash order being test.

    The order is that of SHA-256("<name>/<index>"): no seed has a part in it, and the first images
    of a split are as mixed as all of them, though a grid of factors is sorted.

    Args:
        num: images in all.
        split: "test" or, for the rest, "train".
        name: of the data set.
    """
    order = np.array(hash_order([f"{name}/{index}" for index in range(num)]), dtype=np.int64)
    num_test = share(TEST_SHARE, num=num)
    return order[:num_test] if split == "test" else order[num_test:]


def split_factors(
    source: ImageSource, *, split: Split, members: Tensor | None, name: str
) -> np.ndarray:
    """Factors int64 `(N, F)` of a split's images.

    Args:
        source: of the images.
        split: "train", "val" or "test".
        members: sorted indices of the split into the source's own; None means all.
        name: of the data set, for the message.

    Raises:
        ConfigError: the source knows no factors.
    """
    if not isinstance(source, HasFactors):
        raise ConfigError(
            f"dataset={name}: its factors of variation are not known; "
            "choose dataset=sprites or dataset=dsprites"
        )
    known = source.factors("test" if split == "test" else "train")
    return known if members is None else known[members.numpy()]
