"""Which checkpoints are written, when, and what is in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import pytorch_lightning as pl
import torch

from ganvas.callbacks.checkpoints import Checkpoints, InterruptedRun
from ganvas.models.vae.vae import VAE
from models.tiny import batches, fit, gan, vae


class Saves(pl.Callback):
    """Notes at which steps a checkpoint is made."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        self.steps.append(pl_module.step)


def saving(
    folder: Path,
    *,
    monitor: str | None = None,
    mode: Literal["min", "max"] = "min",
    every_n_steps: int | None = None,
    keep: int = 0,
    pending_signal: Callable[[], int | None] = lambda: None,
) -> Checkpoints:
    return Checkpoints(
        folder,
        monitor=monitor,
        mode=mode,
        every_n_steps=every_n_steps,
        keep=keep,
        pending_signal=pending_signal,
    )


def step_of(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["ganvas_counters"]["step"])


def scripted(values: Sequence[float]) -> VAE:
    """A VAE whose validation loss is what the script says, one value per validation."""
    model, remaining = vae(), iter(values)
    model.evaluation_parts = lambda batch: {"loss": torch.tensor(next(remaining))}
    return model


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("min", [5.0, 3.0, 4.0, 3.0], 2),
        ("max", [5.0, 3.0, 6.0, 2.0], 3),
        ("min", [5.0, 4.0, 3.0, 2.0], 4),
        ("min", [math.nan, 4.0, 5.0, math.nan], 2),
    ],
)
def test_the_best_is_the_first_best_by_the_monitor(
    tmp_path: Path, mode: Literal["min", "max"], values: list[float], best: int
) -> None:
    callback = saving(tmp_path / "new", monitor="val/loss", mode=mode)
    model = scripted(values)
    val = batches(num=1, size=2)
    fit(model, batches(num=3, size=2), epochs=4, callbacks=[callback], val=val)
    assert {p.name for p in (tmp_path / "new").iterdir()} == {
        "best.ckpt", "last.ckpt", "previous.ckpt"
    }  # fmt: skip
    assert step_of(callback.previous_path) == 9
    assert step_of(callback.last_path) == 12
    assert step_of(callback.best_path) == callback.best_step == 3 * best
    assert callback.best == (values[best - 1] if mode == "min" else -values[best - 1])
    last = torch.load(callback.last_path, weights_only=True)["state_dict"]
    torch.testing.assert_close(last, model.state_dict(), rtol=0, atol=0)
    if best < 4:
        stored = torch.load(callback.best_path, weights_only=True)["state_dict"]
        assert not torch.equal(stored["encoder.layers.0.weight"], model.encoder.layers[0].weight)


def test_without_a_monitor_there_is_no_best(tmp_path: Path) -> None:
    fit(
        scripted([1.0, 2.0]),
        batches(num=2, size=2),
        epochs=2,
        callbacks=[saving(tmp_path)],
        val=batches(num=1, size=2),
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_the_best_value_is_taken_up_on_resuming(tmp_path: Path) -> None:
    first = saving(tmp_path, monitor="val/loss")
    val = batches(num=1, size=2)
    fit(scripted([2.0]), batches(num=2, size=2), callbacks=[first], val=val)
    second = saving(tmp_path, monitor="val/loss")
    second.load_state_dict(first.state_dict())
    fit(scripted([3.0]), batches(num=5, size=2), callbacks=[second], val=val)
    assert step_of(second.best_path) == second.best_step == 2
    assert step_of(second.last_path) == 5


def test_a_run_killed_before_the_best_was_linked_links_it_on_resuming(tmp_path: Path) -> None:
    first = saving(tmp_path, monitor="val/loss")
    val = batches(num=1, size=2)
    fit(scripted([2.0]), batches(num=2, size=2), callbacks=[first], val=val)
    first.best_path.unlink()
    model, second = scripted([3.0]), saving(tmp_path, monitor="val/loss")
    model.on_load_checkpoint(torch.load(first.last_path, weights_only=True))
    second.load_state_dict(first.state_dict())
    fit(model, batches(num=5, size=2), callbacks=[second], val=val)
    assert step_of(second.best_path) == second.best_step == 2
    assert step_of(second.last_path) == 7


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, []), (1, [8]), (2, [6, 8]), (3, [4, 6, 8]), (9, [2, 4, 6, 8])]
)
def test_so_many_periodic_ones_stay(tmp_path: Path, keep: int, kept: list[int]) -> None:
    saves = Saves()
    callback = saving(tmp_path, every_n_steps=2, keep=keep)
    fit(vae(), batches(num=9, size=2), callbacks=[callback, saves])
    assert saves.steps == [2, 4, 6, 8, 9]
    names = [f"step-{step:08d}.ckpt" for step in kept]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt", *names]
    assert step_of(tmp_path / "previous.ckpt") == 8
    assert [step_of(tmp_path / name) for name in names] == kept
    assert step_of(tmp_path / "last.ckpt") == 9


@pytest.mark.parametrize("make", [vae, gan])
def test_nothing_is_saved_in_the_midst_of_a_window(tmp_path: Path, make: Any) -> None:
    """Epochs of five batches in windows of two: windows end at 2, 4, 5, 7, 9 and 10."""
    saves = Saves()
    callback = saving(tmp_path, every_n_steps=1)
    loader = batches(num=5, size=2)
    fit(make(), loader, epochs=2, accumulate=2, callbacks=[callback, saves])
    assert saves.steps == [2, 4, 5, 7, 9, 10]


@pytest.mark.parametrize(("val_every", "at"), [(None, [5, 10]), (3, [3, 6, 9])])
def test_a_checkpoint_is_not_written_before_the_validation_of_its_batch(
    tmp_path: Path, val_every: int | None, at: list[int]
) -> None:
    """A run killed during that validation is resumed before it, and makes up for it."""
    callback, model, before = saving(tmp_path, every_n_steps=1, keep=1), vae(), []

    def note(*_: Any) -> None:
        before.append((model.step, step_of(callback.last_path)))

    begins = pl.callbacks.LambdaCallback(on_validation_start=note)
    loader, val = batches(num=5, size=2), batches(num=1, size=2)
    fit(model, loader, epochs=2, callbacks=[callback, begins], val=val, val_every=val_every)
    assert before == [(step, step - 1) for step in at]
    assert step_of(callback.last_path) == step_of(tmp_path / "step-00000010.ckpt") == 10


def test_a_signal_waits_for_the_validation_of_its_batch(tmp_path: Path) -> None:
    model = scripted([0.5])
    arrived = saving(
        tmp_path,
        monitor="val/loss",
        pending_signal=lambda: 15 if model.step >= 5 else None,
    )
    with pytest.raises(InterruptedRun):
        loader, val = batches(num=5, size=2), batches(num=1, size=2)
        fit(model, loader, epochs=3, callbacks=[arrived], val=val)
    assert model.step == step_of(arrived.last_path) == step_of(arrived.best_path) == 5


@pytest.mark.parametrize("make", [vae, gan])
def test_a_validation_in_the_midst_of_a_window_saves_its_best_at_once_and_the_last_at_the_end(
    tmp_path: Path, make: Any
) -> None:
    """Windows as above, validations after batches 3, 6 and 9; `last.ckpt` could be resumed."""
    saves, after = Saves(), []
    callback = saving(tmp_path, monitor="val/loss")
    model, values = make(), iter([2.0, 1.0, 3.0])
    model.evaluation_parts = lambda batch: {"loss": torch.tensor(next(values))}

    def note(*_: Any) -> None:
        after.append(step_of(callback.last_path) if callback.last_path.exists() else None)

    loader, val = batches(num=5, size=2), batches(num=1, size=2)
    seen = pl.callbacks.LambdaCallback(on_train_batch_start=note)
    callbacks = [seen, callback, saves]
    fit(model, loader, epochs=2, accumulate=2, callbacks=callbacks, val=val, val_every=3)
    assert saves.steps == [3, 4, 5, 6, 7, 9, 10]
    assert after == [None, None, None, None, 4, 5, 5, 7, 7, 9]
    assert step_of(callback.best_path) == callback.best_step == 6


@pytest.mark.parametrize("make", [vae, gan])
def test_a_signal_ends_the_run_at_the_windows_end_with_a_checkpoint(
    tmp_path: Path, make: Any
) -> None:
    model = make()
    arrived = saving(tmp_path, pending_signal=lambda: 15 if model.step >= 6 else None)
    loader = batches(num=5, size=2)
    with pytest.raises(InterruptedRun, match="signal 15") as caught:
        fit(model, loader, epochs=3, accumulate=2, callbacks=[arrived])
    assert caught.value.signal == 15
    assert model.step == 7
    assert step_of(tmp_path / "last.ckpt") == 7
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(stored, model.state_dict(), rtol=0, atol=0)


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    callback = saving(tmp_path, monitor="val/loss", every_n_steps=1, keep=1)
    val = batches(num=1, size=2)
    fit(scripted([1.0]), batches(num=3, size=2), callbacks=[callback], val=val)
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".ckpt"]
