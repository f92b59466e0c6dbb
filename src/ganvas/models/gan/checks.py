"""What the networks of a GAN give away about themselves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from torch import nn

from ganvas.losses.penalties import Penalty
from ganvas.types import ValueRange

BATCH_STATISTICS = (nn.modules.batchnorm._BatchNorm,)


def output_range(generator: nn.Module) -> ValueRange:
    """[0, 1] where the last activation is a sigmoid, else [−1, 1]."""
    layers = [m for m in generator.modules() if not list(m.children())]
    return (0.0, 1.0) if layers and isinstance(layers[-1], nn.Sigmoid) else (-1.0, 1.0)


def warn_of_batch_statistics(critic: nn.Module, penalty: Mapping[str, Penalty]) -> None:
    """Say so where a penalty on each image's gradient meets a critic that mixes images."""
    names = [name for name, part in penalty.items() if part.of_single_images]
    mixing = [m for m in critic.modules() if isinstance(m, BATCH_STATISTICS)]
    if names and mixing:
        warnings.warn(
            f"penalty={names[0]} constrains the gradient at each image by itself, but the critic's "
            f"{type(mixing[0]).__name__} makes its logits depend on the whole batch "
            "(Gulrajani et al. 2017, sec. 4); set network.critic.norm=null, or choose a network "
            "without batch normalisation",
            stacklevel=2,
        )
