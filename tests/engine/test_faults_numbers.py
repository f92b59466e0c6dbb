"""A loss that becomes NaN: the batch is named, and its images are those that were in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import ganvas
from ganvas.cli.main import main
from ganvas.models.base import GenerativeModule
from ganvas.models.vae.vae import VAE
from ganvas.types import Batch

TINY = (
    "trainer=cpu",
    "dataset=digits",
    "model=vae",
    "logger=none",
    "callbacks.images=null",
    "trainer.progress_bar=false",
    "trainer.max_steps=40",
    "dataset.max_train=300",
    "test=false",
)


@pytest.mark.parametrize("step", [pytest.param(3, marks=pytest.mark.slow), 17])
def test_the_batch_and_its_images_are_named(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Step 17 is in a later epoch, which has another order."""
    seen: list[torch.Tensor] = []
    terms = VAE.loss_terms

    def spoilt(model: GenerativeModule, batch: Batch, *rest: Any, **named: Any) -> Any:
        found = terms(model, batch, *rest, **named)  # type: ignore[arg-type]
        if model.training and model.step == step - 1 and batch.x.device.type == "cpu":
            seen.append(batch.x.clone())
            return type(found)(found.total * float("nan"), {**found.parts})
        return found

    monkeypatch.setattr(VAE, "loss_terms", spoilt)
    assert main(["train", *TINY, f"paths.runs_dir={tmp_path}"]) == 1
    (file,) = tmp_path.glob("*/*/run.json")
    data = ganvas.load_run(file.parent).data()
    epoch, position = divmod(step - 1, data.steps_per_epoch() or 1)
    line = capsys.readouterr().err
    assert f"became nan at step {step} (batch {position} of epoch {epoch}; " in line
    (told,) = re.findall(
        rf"step {step} had the images \[(.*?)\]", file.with_name("log.txt").read_text()
    )
    loader = data.loader("train", value_range=(0, 1), seed=0, in_order=True)
    images = torch.cat([batch.x for batch in loader])[[int(i) for i in told.split(",")]]
    assert torch.equal(images, seen[0])
