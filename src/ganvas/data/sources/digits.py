"""The 8×8 digits that scikit-learn brings along: a data set that is always there."""

from __future__ import annotations

import hashlib

import numpy as np

from ganvas.data.content import combine
from ganvas.data.decode import fit_arrays
from ganvas.data.options import whole
from ganvas.data.order import hash_order
from ganvas.errors import DataError
from ganvas.types import ImageShape, Split

_NUM, _NUM_TEST, _NUM_CLASSES = 1797, 297, 10
_SHA256 = "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"


class Digits:
    """1,797 grey 8×8 digits (UCI optical recognition of handwritten digits, the test part).

    Values 0..16 become round(v · 255 / 16). The test split is fixed and stratified: 297 images,
    from each class its share (largest remainders), namely those that come first in the order of
    SHA-256("digits/<index>"). No seed has a part in it.

    Args:
        image_size: side in pixels; other than 8, the images are resized (antialiased bilinear).
    """

    def __init__(self, *, image_size: int = 8) -> None:
        self._side = whole("image_size", image_size, least=1)

    @property
    def image_shape(self) -> ImageShape:
        """(1, side, side)."""
        return (1, self._side, self._side)

    @property
    def num_classes(self) -> int | None:
        """Ten digits."""
        return _NUM_CLASSES

    def count(self, split: Split) -> int | None:
        """1,500 for training, 297 for testing."""
        return _NUM_TEST if split == "test" else _NUM - _NUM_TEST

    def fingerprint(self) -> str:
        """Known in advance: `read` compares the pixels with it."""
        return combine("digits", _SHA256, str(self._side))

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images and labels.

        Raises:
            DataError: scikit-learn's file holds other pixels than when the split was defined.
        """
        from sklearn.datasets import load_digits

        bundle = load_digits()
        pixels = np.rint(bundle.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = bundle.target.astype(np.int64)
        found = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
        if found != _SHA256:
            raise DataError(
                f"scikit-learn's digits have changed (SHA-256 {found[:12]}… instead of "
                f"{_SHA256[:12]}…); install another scikit-learn or choose another dataset"
            )
        is_test = _test_mask(labels)
        chosen = is_test if split == "test" else ~is_test
        return fit_arrays(pixels[chosen], side=self._side), labels[chosen]


def _test_mask(labels: np.ndarray) -> np.ndarray:
    """Which images are the test split, bool `(N,)`."""
    sizes = np.bincount(labels, minlength=_NUM_CLASSES)
    shares = sizes * _NUM_TEST / len(labels)
    quotas = np.floor(shares).astype(int)
    most_cut = np.argsort(quotas - shares, kind="stable")
    quotas[most_cut[: _NUM_TEST - quotas.sum()]] += 1
    order = np.array(hash_order([f"digits/{index}" for index in range(len(labels))]))
    mask = np.zeros(len(labels), dtype=bool)
    for digit, quota in enumerate(quotas):
        mask[order[labels[order] == digit][:quota]] = True
    return mask
