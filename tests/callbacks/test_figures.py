"""Every step is in the trace, and every mean is the mean of its window."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

import ganvas
from callbacks.recorders import Kept
from ganvas.callbacks.checkpoints import Checkpoints
from ganvas.callbacks.figures import DivergedError, Figures
from ganvas.engine.checkpoint_files import read_checkpoint
from ganvas.errors import GanvasError
from ganvas.models.gan.gan import GAN
from ganvas.models.vae.vae import VAE
from ganvas.types import Batch, LossTerms
from models.tiny import batches, fit, gan, vae


def saving(folder: Path, *, every_n_steps: int, keep: int) -> Checkpoints:
    return Checkpoints(
        folder,
        monitor=None,
        mode="min",
        every_n_steps=every_n_steps,
        keep=keep,
        pending_signal=lambda: None,
    )


def means_of(trace: dict[int, dict[str, float]], name: str, first: int, last: int) -> float:
    values = [trace[s][name] for s in range(first, last + 1) if name in trace[s]]
    return math.fsum(values) / len(values)


def require_window_means(kept: Kept, name: str, ends: list[int]) -> None:
    got = kept.means(f"train/{name}")
    assert list(got) == ends
    begin = 1
    for end in ends:
        assert got[end] == pytest.approx(means_of(kept.trace, name, begin, end), rel=1e-12)
        begin = end + 1


@pytest.mark.parametrize("make", [vae, gan])
def test_means_are_those_of_the_traces_windows(make: Any) -> None:
    kept = Kept()
    fit(make(), batches(num=5, size=2), max_steps=11, callbacks=[Figures(kept, every_n_steps=4)])
    assert list(kept.trace) == list(range(1, 12))
    name = "loss" if make is vae else "critic_loss"
    require_window_means(kept, name, [4, 8, 11])
    assert [(step, seen) for step, seen, _ in kept.metrics] == [(4, 8), (8, 16), (11, 22)]
    assert len({row[name] for row in kept.trace.values()}) == 11


def test_the_trace_has_the_losses_themselves() -> None:
    kept, model, loader = Kept(), vae(), batches(num=3, size=2)
    expected = vae().loss_terms(loader.batches[0]).total.item()
    fit(model, loader, callbacks=[Figures(kept, every_n_steps=50)])
    assert kept.trace[1]["loss"] == expected
    for row in kept.trace.values():
        assert row["elbo"] == pytest.approx(-row["distortion"] - row["rate"], rel=1e-6)


def test_a_part_that_some_steps_lack_is_averaged_over_those_that_have_it() -> None:
    kept = Kept()
    callbacks = [Figures(kept, every_n_steps=3)]
    fit(gan(n_critic=2), batches(num=6, size=2), callbacks=callbacks)
    having = [step for step, row in kept.trace.items() if "generator_loss" in row]
    assert having == [2, 4, 6]
    require_window_means(kept, "generator_loss", [3, 6])


def test_validation_cuts_the_window_and_follows_it() -> None:
    kept, val = Kept(), batches(num=2, size=3)
    model = vae()
    callbacks = [Figures(kept, every_n_steps=4)]
    fit(model, batches(num=3, size=2), epochs=2, callbacks=callbacks, val=val)
    require_window_means(kept, "loss", [3, 4, 6])
    assert list(kept.means("val/loss")) == [3, 6]
    order = [(s, next(iter(v)).split("/")[0]) for s, _, v in kept.metrics]
    assert order == [(3, "train"), (3, "val"), (4, "train"), (6, "train"), (6, "val")]
    final = [model.eval().evaluation_parts(batch)["loss"].item() for batch in val.batches]
    assert kept.means("val/loss")[6] == pytest.approx(sum(final) / 2, rel=1e-6)


def test_rates_and_counters_stand_beside_the_means() -> None:
    kept = Kept()
    fit(gan(n_critic=2), batches(num=4, size=2), callbacks=[Figures(kept, every_n_steps=4)])
    (_, _, values) = kept.metrics[-1]
    assert values["train/lr_critic"] == values["train/lr_generator"] == 0.05
    assert (values["train/critic_steps"], values["train/generator_steps"]) == (4, 2)
    assert values["train/images_per_second"] > 0


def poisoned(*, at: int, value: float = math.nan) -> VAE:
    """A VAE whose rate is not finite in one step."""
    model = vae()
    plain = model.loss_terms

    def loss_terms(self: VAE, batch: Batch) -> LossTerms:
        terms = plain(batch)
        if self.step + 1 == at:
            return LossTerms(terms.total, {**terms.parts, "rate": torch.tensor(value)})
        return terms

    model.loss_terms = MethodType(loss_terms, model)
    return model


def skipping(steps: range) -> GAN:
    """A GAN under a scaler, whose critic has infinite gradients in some steps."""
    model = gan()
    plain = model._step_side

    def step_side(self: GAN, side: Any) -> Tensor:
        norm = plain(side)
        return torch.tensor(math.inf) if "critic" in side and self.step + 1 in steps else norm

    model._step_side = MethodType(step_side, model)
    return model


class Scaled(Figures):
    """Figures of a run that scales its loss; the scaler itself needs a GPU."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        scaler = SimpleNamespace(get_scale=lambda: 1.0)
        trainer.precision_plugin.scaler = scaler  # type: ignore[attr-defined]


def test_steps_that_a_scaler_skips_stay_out_of_the_means_alone() -> None:
    kept = Kept()
    figures = Scaled(kept, every_n_steps=4)
    fit(skipping(range(3, 5)), batches(num=8, size=2), callbacks=[figures])
    norms = {step: row["critic_gradient_norm"] for step, row in kept.trace.items()}
    assert [step for step, norm in norms.items() if math.isinf(norm)] == [3, 4]
    mean = kept.means("train/critic_gradient_norm")[4]
    assert mean == pytest.approx((norms[1] + norms[2]) / 2)


def test_without_a_scaler_a_gradient_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    saves = saving(tmp_path, every_n_steps=2, keep=0)
    figures = Figures(Kept(), every_n_steps=4, last_good=saves.last_good)
    message = r"critic_gradient_norm became inf at step 3; .* checkpoint is .*last.ckpt of step 2"
    with pytest.raises(DivergedError, match=message):
        fit(skipping(range(3, 4)), batches(num=8, size=2), callbacks=[figures, saves])


@pytest.mark.parametrize("every", [1, 7, 100])
def test_a_scaler_that_skips_every_step_ends_the_run(every: int) -> None:
    """Fifty in a row may be, whatever the windows; one more may not."""
    callbacks = [Scaled(Kept(), every_n_steps=every)]
    fit(skipping(range(5, 55)), batches(num=60, size=2), callbacks=callbacks)
    message = "critic_gradient_norm was inf for 51 steps in a row at step 55; no checkpoint"
    with pytest.raises(DivergedError, match=message):
        fit(
            skipping(range(5, 99)),
            batches(num=60, size=2),
            callbacks=[Scaled(Kept(), every_n_steps=every)],
        )


def test_no_checkpoint_has_weights_that_are_not_finite(tmp_path: Path) -> None:
    """Whatever spoiled them; a buffer that was so from the start is meant so."""
    model = vae()
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    model.register_buffer("mean", torch.zeros(2))
    plain = model.advance

    def advance(self: VAE, batch: Batch, parts: Any) -> None:
        plain(batch, parts)
        if self.step == 3:
            self.mean[1] = math.nan  # type: ignore[operator]

    model.advance = MethodType(advance, model)
    with pytest.raises(DivergedError, match=r"^mean was no longer finite at step 3, .* of step 2"):
        fit(model, batches(num=9, size=2), callbacks=[saving(tmp_path, every_n_steps=1, keep=0)])
    state = read_checkpoint(tmp_path / "last.ckpt")
    assert state["ganvas_counters"]["step"] == 2
    assert state["state_dict"]["mask"].tolist() == [0.0, -math.inf]


def test_watchers_get_all_that_is_written() -> None:
    kept, seen = Kept(), []
    figures = Figures(kept, every_n_steps=2)
    figures.watchers.append(lambda values, step: seen.append((step, dict(values))))
    fit(vae(), batches(num=3, size=2), epochs=2, callbacks=[figures], val=batches(num=1, size=2))
    assert seen == [(step, values) for step, _, values in kept.metrics]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_naming_step_and_term(value: float) -> None:
    kept = Kept()
    callbacks = [Figures(kept, every_n_steps=3)]
    with pytest.raises(DivergedError, match=rf"^rate became {value} at step 4; .*learning rate"):
        fit(poisoned(at=4, value=value), batches(num=9, size=2), callbacks=callbacks)
    assert list(kept.trace) == [1, 2, 3, 4, 5, 6]  # written before the run is ended
    assert issubclass(DivergedError, GanvasError)


def test_without_a_recorder_a_diverged_rank_stops_too() -> None:
    with pytest.raises(DivergedError, match="at step 1"):
        fit(poisoned(at=1), batches(num=2, size=2), callbacks=[Figures(None, every_n_steps=1)])


def test_no_checkpoint_is_written_once_a_loss_is_not_finite(tmp_path: Path) -> None:
    figures = Figures(Kept(), every_n_steps=50)
    with pytest.raises(DivergedError, match="at step 4"):
        fit(
            poisoned(at=4),
            batches(num=9, size=2),
            callbacks=[figures, saving(tmp_path, every_n_steps=1, keep=2)],
        )
    steps = {p.name: read_checkpoint(p)["ganvas_counters"]["step"] for p in tmp_path.iterdir()}
    assert steps.pop("previous.ckpt") == 2
    assert steps == {"last.ckpt": 3, "step-00000002.ckpt": 2, "step-00000003.ckpt": 3}


def test_a_checkpoint_has_the_steps_that_the_trace_has_not(tmp_path: Path) -> None:
    """Else a killed run would resume from there with a hole in its trace."""
    kept = Kept()
    figures = Figures(kept, every_n_steps=5)
    callbacks = [figures, saving(tmp_path, every_n_steps=1, keep=9)]
    fit(vae(), batches(num=8, size=2), callbacks=callbacks)
    assert list(kept.trace) == list(range(1, 9))
    for step in range(1, 9):
        state = read_checkpoint(tmp_path / f"step-{step:08d}.ckpt")["callbacks"]["Figures"]
        written = step // 5 * 5
        assert state["steps"] == list(range(written + 1, step + 1))
        for i, parts in zip(state["steps"], state["parts"], strict=True):
            assert {name: part.item() for name, part in parts.items()} == kept.trace[i]


def test_a_window_goes_on_after_resuming(tmp_path: Path) -> None:
    """Interrupted at step 7 of a window of 5 batches and taken up again: the same means."""
    whole, cut = Kept(), Kept()
    fit(vae(), batches(num=12, size=2), callbacks=[Figures(whole, every_n_steps=5)])
    loader = batches(num=12, size=2)
    first = [Figures(Kept(), every_n_steps=5), saving(tmp_path, every_n_steps=7, keep=1)]
    fit(vae(), loader, callbacks=first)
    model = vae()
    state = read_checkpoint(tmp_path / "step-00000007.ckpt")
    model.load_state_dict(state["state_dict"])
    model.on_load_checkpoint(state)
    second = Figures(cut, every_n_steps=5)
    second.load_state_dict(state["callbacks"]["Figures"])
    loader.batches = loader.batches[7:]
    fit(model, loader, callbacks=[second])
    assert cut.trace == {step: whole.trace[step] for step in range(6, 13)}
    expected = {step: mean for step, mean in whole.means("train/loss").items() if step > 7}
    assert cut.means("train/loss") == expected


def test_a_half_full_window_is_saved_as_the_mean_over_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two ranks, the other with twice the values; the checkpoint is written by one alone."""
    figures = Figures(None, every_n_steps=5)
    figures._steps, figures._parts = [1], [{"loss": torch.tensor(4.0), "rate": torch.tensor(1.0)}]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(3))
    assert figures.state_dict()["parts"] == [{"loss": torch.tensor(6.0), "rate": torch.tensor(1.5)}]


def test_the_files_of_a_run_agree_with_each_other(tmp_path: Path) -> None:
    run = ganvas.train(
        [
            "model=vae",
            "trainer=cpu",
            "logger=none",
            "callbacks.images=null",
            "trainer.progress_bar=false",
            "trainer.max_epochs=2",
            "trainer.log_every_n_steps=3",
            "dataset.max_train=50",
            "dataset.val_size=10",
            "dataset.batch_size=10",
            "test=false",
            f"paths.runs_dir={tmp_path}",
        ]
    )
    with (run.path / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    trace = {int(r["step"]): {k: float(v) for k, v in r.items() if v} for r in rows}
    assert list(trace) == list(range(1, 11))
    metrics = run.metrics()
    for name in ("loss", "rate", "elbo"):
        column = metrics[f"train/{name}"].dropna()
        assert list(column.index) == [3, 5, 6, 9, 10]
        begin = 1
        for end, value in column.items():
            assert value == pytest.approx(means_of(trace, name, begin, end), rel=1e-12)
            begin = end + 1
