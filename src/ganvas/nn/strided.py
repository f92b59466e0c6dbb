"""Convolutions that halve a map and transposed ones that double it, for any kernel."""

from __future__ import annotations

import warnings

from torch import nn

from ganvas.errors import GanvasWarning

STRIDE = 2


def halving_conv(num_in: int, num_out: int, kernel_size: int, *, bias: bool = True) -> nn.Conv2d:
    """Stride 2, from an even size s to s / 2."""
    padding = (checked_kernel(kernel_size) - 1) // 2
    return nn.Conv2d(num_in, num_out, kernel_size, STRIDE, padding, bias=bias)


def doubling_conv(
    num_in: int, num_out: int, kernel_size: int, *, bias: bool = True
) -> nn.ConvTranspose2d:
    """Stride 2, from a size s to 2s: (s − 1)·2 − 2p + k, and one more where k is odd."""
    padding = (checked_kernel(kernel_size) - 1) // 2
    return nn.ConvTranspose2d(
        num_in, num_out, kernel_size, STRIDE, padding, output_padding=kernel_size % 2, bias=bias
    )


def checked_kernel(kernel_size: int) -> int:
    """`kernel_size` itself.

    Raises:
        ValueError: if it is under 2, so that a stride of 2 would leave pixels out.
    """
    if kernel_size < STRIDE:
        raise ValueError(
            f"kernel_size must be at least 2, the stride, got {kernel_size}; 4 is the usual one"
        )
    return kernel_size


def warn_of_checkerboards(kernel_size: int) -> None:
    """Say so where transposed convolutions cover some pixels more often than others.

    Odena, Dumoulin & Olah 2016, doi:10.23915/distill.00003.
    """
    if checked_kernel(kernel_size) % STRIDE:
        warnings.warn(
            f"network.generator.kernel_size={kernel_size} is not divisible by the stride {STRIDE} "
            "of its transposed convolutions, which draws checkerboards (Odena et al. 2016); set "
            f"it to {kernel_size - 1} or {kernel_size + 1}",
            GanvasWarning,
            stacklevel=3,
        )
