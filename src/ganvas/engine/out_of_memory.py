"""What a run needs of the machine's memory, and what to lower where that is too much."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ganvas.engine.trainer import on_gpu
from ganvas.errors import GanvasWarning

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule

MIB = 2**20
_MOST_PER_PIXEL = 2000
"""More activations for each value of an image than any network here makes: a bound for nothing."""
_FOUR_COPIES = 16  # bytes: a float32 weight, its gradient and two moments
_WORDS = ("not enough memory", "can't allocate memory", "bad_alloc", "out of memory")
_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

REMEDY = (
    "lower dataset.batch_size (with trainer.accumulate_grad_batches raised in its place), the "
    "widths in network, or trainer.precision (bf16-mixed)"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy, torch on the CPU or CUDA found no memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def of_training(checked: Checked, error: BaseException) -> str:
    """One line about a run that found no memory: what it needs, what there is, what to lower."""
    needed = "its size could not be told"
    with suppress(Exception):  # there may be no memory for this either
        from ganvas.engine.check import check_build

        data, model = check_build(checked)
        mib = estimated(checked, model, data)
        needed = f"about {mib:,.0f} MiB at dataset.batch_size={data.batch_size} by estimate"
    there = _there(gpu=isinstance(error, torch.OutOfMemoryError))
    return f"out of memory: the run needs {needed}, {there}; {REMEDY}"


def of_command(error: BaseException, *, remedy: str) -> str:
    """One line about another command that found no memory."""
    there = _there(gpu=isinstance(error, torch.OutOfMemoryError))
    return f"out of memory: {there}; {remedy}"


def estimated(checked: Checked, model: GenerativeModule, data: ImageData) -> float:
    """MiB of one rank: weights, gradients, moments and the activations of its share of a batch."""
    from ganvas.engine.report import estimated_mib, layers

    world = checked.settings.trainer.devices * checked.settings.trainer.num_nodes
    return estimated_mib(model, layers(model, data), batch_size=data.batch_size // world)


def warn_of_size(checked: Checked, model: GenerativeModule, data: ImageData) -> None:
    """A warning where a run is far larger than the machine; `model` is on the meta device."""
    gpu = on_gpu(checked.settings.trainer)
    if gpu and not torch.cuda.is_available():
        return
    there = _total(gpu=gpu)
    weights = sum(p.numel() for p in model.parameters()) * _FOUR_COPIES
    values = data.batch_size * torch.Size(data.image_shape).numel() * 4
    if weights + values * _MOST_PER_PIXEL < there:
        return
    needed = estimated(checked, model, data) * MIB
    if needed > there:
        warnings.warn(
            f"the run needs about {needed / MIB:,.0f} MiB by estimate, {_there(gpu=gpu)}: it will "
            f"hardly fit; {REMEDY}",
            GanvasWarning,
            stacklevel=2,
        )


def _there(*, gpu: bool) -> str:
    where = "the GPU" if gpu else "the machine"
    with suppress(Exception):
        return f"{where} has {_total(gpu=gpu) / MIB:,.0f} MiB"
    return f"{where} has less"


def _total(*, gpu: bool) -> int:
    """Bytes that this process can have at most: of the GPU, or of the machine and its limits."""
    if gpu:
        return int(torch.cuda.mem_get_info()[1])
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


def _limits() -> list[int]:
    """Of a container's group, and of `ulimit -v`."""
    import resource

    found = []
    for file in _GROUPS:
        with suppress(OSError, ValueError):  # no such group, or "max"
            found.append(int(file.read_text()))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [*found, *([soft] if soft != resource.RLIM_INFINITY else [])]
