"""What notebooks hand to `run.latent`, and what they show of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganvas as library


@pytest.mark.parametrize(
    "images",
    [
        range(3),
        np.arange(3),
        torch.arange(3),
        list(np.arange(3)),
        [torch.tensor(0), np.int32(1), 2],
    ],
    ids=["range", "array", "tensor", "list of NumPy", "mixed"],
)
def test_positions_of_all_kinds(vae_copy: Path, images: Any) -> None:
    run = library.load_run(vae_copy)
    expected = run.latent.interpolate(images=[0, 1, 2], steps=3)
    made = run.latent.interpolate(images=images, steps=np.int64(3), seed=np.int64(0))
    assert made.path == expected.path  # named by all options
    assert "images=[0,1,2]" in made.path.with_suffix(".yaml").read_text()


def test_options_of_numpy(vae_copy: Path) -> None:
    run = library.load_run(vae_copy)
    made = run.latent.concept(strengths=np.array([0.5, 1.0]), label=1, num=torch.tensor(500))
    assert made.tensors["strengths"].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_a_tool_tells_its_options(vae_copy: Path) -> None:
    text = library.load_run(vae_copy).latent.interpolate.__doc__
    assert text is not None
    assert text.startswith("# From one image to the next")
    assert "steps: 9 " in text
    assert "random" in text
