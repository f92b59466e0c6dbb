"""Budgets that are too small are refused before a run begins, and before a sweep's first job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_helpers import train


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            "model=dcgan model.n_critic=1,3",
            "1 of 2 cells can't be run:\n`model.n_critic=3`:\n"
            "  model.n_critic=3: must be at most 2, the critic steps in the budget of 2 batches, "
            "or the generator never steps; lower it, or raise trainer.max_steps",
        ),
        (
            "trainer.accumulate_grad_batches=1,2,4 model=gan",
            "1 of 3 cells can't be run:\n`trainer.accumulate_grad_batches=4`:\n"
            "  trainer.max_steps=2 ends inside a window of trainer.accumulate_grad_batches=4 "
            "batches, whose gradient would be lost; set max_steps to 4",
        ),
    ],
)
def test_a_sweep_with_a_budget_too_small_starts_no_job(
    place: Path, overrides: str, message: str
) -> None:
    said = train("-m", *overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


def test_a_budget_of_images_that_only_the_files_can_count(place: Path, tmp_path: Path) -> None:
    """Refused once they are counted, and before a run begins."""
    file = tmp_path / "images.npz"
    np.savez(file, images=np.zeros((70, 8, 8, 1), dtype=np.uint8))
    size = ["dataset.batch_size=10", "dataset.val_size=0", "trainer.max_steps=null"]
    arrays = ["dataset=arrays", f"dataset.root={file}", *size, "trainer.max_epochs=2"]
    said = train("model=gan", "model.n_critic=13", *arrays)
    assert said.code == 2
    assert said.message.startswith("model.n_critic=13: must be at most 12, the critic steps in")
    assert not (place / "runs").exists()
    assert train("model=gan", "model.n_critic=12", *arrays).code == 0
