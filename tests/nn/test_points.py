"""Networks for points: the scale is that of dense layers inside."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganvas.nn.points import PointCritic, PointGenerator

SHAPE = (2, 1, 1)


def test_the_generator_divides_and_the_critic_multiplies() -> None:
    shared = {"image_shape": SHAPE, "hidden": [8, 4], "activation": nn.ReLU, "scale": 4.5}
    generator = PointGenerator(num_inputs=3, **shared)  # type: ignore[arg-type]
    critic = PointCritic(num_outputs=5, **shared)  # type: ignore[arg-type]
    z, x = torch.randn(7, 3), torch.randn(7, *SHAPE)
    assert_close(generator(z), (generator.layers(z) / 4.5).view(7, *SHAPE))
    assert_close(critic(x), critic.layers(4.5 * x.view(7, 2)))
    assert [tuple(p.shape) for p in critic.parameters() if p.ndim == 2] == [(8, 2), (4, 8), (5, 4)]
    assert isinstance(generator.layers[-1], nn.Linear)  # no last activation


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_a_scale_that_is_none(scale: float) -> None:
    for build in (
        lambda: PointGenerator(
            num_inputs=2, image_shape=SHAPE, hidden=[4], activation=nn.ReLU, scale=scale
        ),
        lambda: PointCritic(
            num_outputs=1, image_shape=SHAPE, hidden=[4], activation=nn.ReLU, scale=scale
        ),
    ):
        with pytest.raises(ValueError, match="scale must be positive"):
            build()
