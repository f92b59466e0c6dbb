"""Pictures during training: there, of the right size, and without a trace in the run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from callbacks.recorders import Kept
from ganvas import pictures
from ganvas.callbacks.images import ImageGrids
from models.tiny import batches, equal, fit, gan, vae, weights


def grids(kept: Kept, *, num: int = 16, every: int | None = None) -> ImageGrids:
    callback = ImageGrids(num=num, every_n_epochs=every)
    callback.recorder = kept
    return callback


def a_trainer(*, val: Any = None, is_global_zero: bool = True) -> Any:
    return SimpleNamespace(is_global_zero=is_global_zero, val_dataloaders=val)


def test_samples_and_reconstructions_are_those_of_the_model() -> None:
    kept, model, val = Kept(), vae(), batches(num=1, size=10)
    model.seed = 7
    grids(kept).show(a_trainer(val=val), model)
    model.eval().requires_grad_(False)
    expected = pictures.grid(model.sample(16, seed=7))
    assert np.array_equal(kept.pictures["samples", 0], expected)
    real = val.batches[0].x[:8]
    expected = pictures.grid(pictures.pairs(real, model.reconstruct(real)))
    assert np.array_equal(kept.pictures["reconstructions", 0], expected)


def test_a_gan_shows_samples_alone_in_the_right_range() -> None:
    kept, model = Kept(), gan(ema_decay=0.5)
    grids(kept).show(a_trainer(val=batches(num=1, size=10)), model)
    assert list(kept.pictures) == [("samples", 0)]
    samples = model.sample(16, seed=0).detach()
    assert np.array_equal(kept.pictures["samples", 0], pictures.grid((samples + 1) / 2))


def test_every_picture_has_the_same_noise() -> None:
    kept, model = Kept(), vae()
    callback = grids(kept)
    callback.show(a_trainer(val=batches(num=1, size=10)), model)
    model.counters["step"] = 5
    callback.show(a_trainer(val=batches(num=1, size=10)), model)
    assert np.array_equal(kept.pictures["samples", 0], kept.pictures["samples", 5])


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_random_numbers_are_left_as_they_were(training: bool) -> None:
    model = gan(ema_decay=0.5).train(training)
    model.critic.eval()  # a part that is kept in evaluation mode while the rest trains
    modes = {name: module.training for name, module in model.named_modules()}
    state = torch.get_rng_state()
    grids(Kept()).show(a_trainer(val=batches(num=1, size=8)), model)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_training_is_the_same_with_and_without_pictures() -> None:
    ends = []
    for callbacks in ([], [grids(Kept(), every=1)]):
        model = vae()
        fit(
            model,
            batches(num=3, size=2),
            epochs=2,
            callbacks=callbacks,
            val=batches(num=1, size=8),
        )
        ends.append(weights(model))
    assert equal(*ends)


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(4, 2, [4, 8]), (3, 2, [4, 6]), (2, None, [2, 4]), (20, None, list(range(4, 41, 4)))],
)
def test_pictures_come_every_so_many_epochs_and_at_the_end(
    epochs: int, every: int | None, expected: list[int]
) -> None:
    kept = Kept()
    fit(vae(), batches(num=2, size=2), epochs=epochs, callbacks=[grids(kept, every=every)])
    for kind in ("samples", "reconstructions"):  # of training images: there is no validation here
        assert [step for name, step in kept.pictures if name == kind] == expected


def test_only_rank_zero_shows_anything() -> None:
    kept = Kept()
    grids(kept).show(a_trainer(is_global_zero=False), vae())
    assert not kept.pictures


@pytest.mark.parametrize("num", [0, -1])
def test_a_grid_without_images_is_refused(num: int) -> None:
    with pytest.raises(ValueError, match=f"num must be at least 1, got {num}"):
        ImageGrids(num=num)


def test_a_run_keeps_its_pictures_as_files(tmp_path: Path) -> None:
    run = ganvas.train(
        [
            "model=vae",
            "trainer=cpu",
            "logger=none",
            "callbacks.images.num=16",
            "trainer.progress_bar=false",
            "trainer.max_epochs=1",
            "dataset.max_train=50",
            "dataset.val_size=20",
            "dataset.batch_size=10",
            "test=false",
            f"paths.runs_dir={tmp_path}",
        ]
    )
    files = sorted((run.path / "samples").glob("*.png"))
    assert [f.name.rsplit("-", 1)[0] for f in files] == ["reconstructions", "samples"]
    assert all(int(f.stem.rsplit("-", 1)[1]) == 5 for f in files)
    sizes = []
    for file in files:
        with Image.open(file) as picture:
            sizes.append(picture.size)
    assert sizes == [(8 * 66 + 2, 2 * 66 + 2)] * 2


def test_points_are_one_picture_with_real_ones_beneath(tmp_path: Path) -> None:
    run = ganvas.train(
        [
            "experiment=mixture2d",
            "trainer=cpu",
            "logger=none",
            "callbacks.images.num=50",
            "dataset.batch_size=20",
            "dataset.source.num_train=200",
            "trainer.progress_bar=false",
            "trainer.max_steps=3",
            "test=false",
            f"paths.runs_dir={tmp_path}",
        ]
    )
    (shown,) = (run.path / "samples").glob("samples-*3.png")
    with Image.open(shown) as file:
        picture = np.asarray(file)
    samples = run.load_model("last").sample(50, seed=0)
    loader = run.data().loader("train", value_range=(0, 1), seed=0, position=lambda: 3)
    real = torch.cat([batch.x for batch in loader])[:50]
    assert np.array_equal(picture, pictures.scatter(samples, beneath=real))
