"""What the networks of a GAN give away about themselves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from inspect import signature

import torch
from torch import nn

from ganvas.errors import GanvasWarning
from ganvas.losses.penalties import Penalty
from ganvas.nn.minibatch_std import MinibatchStd
from ganvas.types import ValueRange

SHAPING = (nn.Identity, nn.Flatten, nn.Unflatten, nn.PixelShuffle)
BATCH_STATISTICS = {
    nn.modules.batchnorm._BatchNorm: (
        "(Gulrajani et al. 2017, sec. 4); set network.critic.norm=null, or choose a network "
        "without batch normalisation"
    ),
    MinibatchStd: (
        "a little, through one feature map (Karras et al. 2020 accept that for R1); set "
        "network.critic.minibatch_std=0 if the gradients must be exact"
    ),
}


def output_range(generator: nn.Module, *, num_inputs: int) -> ValueRange:
    """[0, 1] where the last layer to act is a sigmoid, else [−1, 1].

    The layers are those that are called, in the order of their calls, when a copy on the meta
    device makes two images: wrappers, hooks on weights and the order of attributes do not matter.
    A sigmoid that is called as a function is not seen.

    Args:
        generator: from noise `(B, Z)`, and labels `(B,)` where it takes them.
        num_inputs: Z.
    """
    copied = copy.deepcopy(generator).to("meta").eval()
    called: list[nn.Module] = []
    for layer in copied.modules():
        if not any(layer.children()) and not isinstance(layer, SHAPING):
            layer.register_forward_hook(lambda module, *_: called.append(module))
    z, y = torch.empty(2, num_inputs), torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        copied(*(part.to("meta") for part in (z, y)[: len(signature(copied.forward).parameters)]))
    return (0.0, 1.0) if called and isinstance(called[-1], nn.Sigmoid) else (-1.0, 1.0)


def warn_of_batch_statistics(critic: nn.Module, penalty: Mapping[str, Penalty]) -> None:
    """Say so where a penalty on each image's gradient meets a critic that mixes images."""
    names = [name for name, part in penalty.items() if part.of_single_images]
    for kind, remark in BATCH_STATISTICS.items():
        mixing = [type(m).__name__ for m in critic.modules() if isinstance(m, kind)]
        if names and mixing:
            warnings.warn(
                f"penalty={names[0]} constrains the gradient at each image by itself, but the "
                f"critic's {mixing[0]} makes its logits depend on the whole batch {remark}",
                GanvasWarning,
                stacklevel=2,
            )
