"""What is drawn with a trained run leaves the random numbers of the caller alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganvas


def state() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        ("interpolate", {"images": "random"}),
        ("traverse", {}),
        ("concept", {"label": 1, "method": "classifier"}),
        ("scatter", {"method": "tsne", "num": 60}),
        ("nearest", {"num": 20}),
        ("anomaly", {"score": "elbo"}),
        ("project", {"steps": 2}),
    ],
)
def test_tools_leave_the_random_state_alone(
    vae_copy: Path, tool: str, options: dict[str, Any]
) -> None:
    before = state()
    ganvas.load_run(vae_copy).latent.draw(tool, **options)
    assert state() == before
    assert torch.is_grad_enabled()
