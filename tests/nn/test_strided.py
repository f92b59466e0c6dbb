"""Halving and doubling for any kernel, and a warning of checkerboards."""

from __future__ import annotations

import warnings

import pytest
import torch

from ganvas.nn.strided import doubling_conv, halving_conv, warn_of_checkerboards


@pytest.mark.parametrize("kernel_size", range(2, 10))
@pytest.mark.parametrize("size", [2, 4, 8, 14, 28])
def test_halves_and_doubles(size: int, kernel_size: int) -> None:
    down, up = halving_conv(1, 2, kernel_size), doubling_conv(2, 1, kernel_size)
    small = down(torch.randn(1, 1, size, size))
    assert small.shape == (1, 2, size // 2, size // 2)
    assert up(small).shape == (1, 1, size, size)


def test_the_bias_is_as_asked() -> None:
    assert halving_conv(1, 1, 4, bias=False).bias is None
    assert doubling_conv(1, 1, 4, bias=False).bias is None
    assert halving_conv(1, 1, 4).bias is not None


@pytest.mark.parametrize("make", [halving_conv, doubling_conv])
def test_a_kernel_below_the_stride_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match="kernel_size must be at least 2, the stride, got 1"):
        make(1, 1, 1)  # type: ignore[operator]


@pytest.mark.parametrize("kernel_size", range(2, 8))
def test_a_checkerboard_is_what_is_warned_of(kernel_size: int) -> None:
    """A constant map and kernel: every inner pixel is covered as often, but for an odd kernel."""
    layer = doubling_conv(1, 1, kernel_size, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        inner = layer(torch.ones(1, 1, 20, 20))[0, 0, 8:-8, 8:-8]
    if inner.max() == inner.min():
        warn_of_checkerboards(kernel_size)  # warnings are errors here
        return
    with pytest.warns(UserWarning, match="checkerboards") as seen:
        warn_of_checkerboards(kernel_size)
    assert [str(w.message) for w in seen] == [
        f"network.generator.kernel_size={kernel_size} is not divisible by the stride 2 of its "
        "transposed convolutions, which draws checkerboards (Odena et al. 2016); set it to "
        f"{kernel_size - 1} or {kernel_size + 1}"
    ]


def test_half_of_the_kernels_draw_them() -> None:
    warned = []
    for kernel_size in range(2, 8):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            warn_of_checkerboards(kernel_size)
        warned += [kernel_size] * len(seen)
    assert warned == [3, 5, 7]
