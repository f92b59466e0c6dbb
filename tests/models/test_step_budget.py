"""Budgets, counters and learning rates count batches, for one optimiser and for two."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import ganvas
from ganvas.callbacks.steps import GradientClipping, LearningRate
from ganvas.engine.checkpoint_files import read_checkpoint
from ganvas.models.base import GenerativeModule
from ganvas.schedules import CosineSchedule, WarmupSchedule
from models.tiny import Batches, batches, equal, fit, gan, sgd, vae, weights

MODELS = [vae, gan]
adam = partial(torch.optim.Adam, lr=1e-3)


class Watch(pl.Callback):
    """Notes what each optimiser step is about to do."""

    def __init__(self) -> None:
        self.batches = 0
        self.lrs: list[tuple[int, float]] = []
        self.norms: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        which = [o is optimizer for o in trainer.optimizers].index(True)
        self.lrs.append((which, optimizer.param_groups[0]["lr"]))
        grads = [p.grad for g in optimizer.param_groups for p in g["params"]]
        self.norms.append(float(torch.stack([g.norm() for g in grads]).norm()))


def adam_steps(trainer: pl.Trainer) -> list[int]:
    states = [list(o.state.values())[:1] for o in trainer.optimizers]
    return [int(state[0]["step"]) if state else 0 for state in states]


@pytest.mark.parametrize("max_steps", [1, 4, 5, 7, 12])
@pytest.mark.parametrize("make", MODELS)
def test_exactly_max_steps_batches_are_consumed(make: Any, max_steps: int) -> None:
    optimizers = {"optimizer": adam} if make is vae else {"generator": adam, "critic": adam}
    model, loader, watch = make(**optimizers), batches(num=5, size=2), Watch()
    trainer = fit(model, loader, max_steps=max_steps, callbacks=[watch])
    assert watch.batches == loader.given == model.step == max_steps
    assert model.counters["images_seen"] == 2 * max_steps
    assert set(adam_steps(trainer)) == {max_steps}


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("spent", [7, 9])
def test_a_spent_budget_trains_no_further(make: Any, spent: int) -> None:
    model, loader = make(), batches(num=5, size=2)
    model.counters["step"] = spent
    before = weights(model)
    fit(model, loader, max_steps=7)
    assert (loader.given, model.step) == (0, spent)
    assert equal(weights(model), before)


def test_n_critic_steps_the_generator_on_every_nth_batch() -> None:
    for n_critic, expected in ((1, 7), (2, 3), (3, 2), (8, 0)):
        model = gan(n_critic=n_critic, critic=adam, generator=adam)
        trainer = fit(model, batches(num=5, size=2), max_steps=7)
        assert model.counters == {
            "step": 7,
            "images_seen": 14,
            "critic_steps": 7,
            "generator_steps": expected,
        }
        assert adam_steps(trainer) == [7, expected]


@pytest.mark.parametrize("n_critic", [0, -1])
def test_n_critic_under_one_is_refused(n_critic: int) -> None:
    with pytest.raises(ValueError, match=f"n_critic must be at least 1, got {n_critic}"):
        gan(n_critic=n_critic)


@pytest.mark.parametrize("make", MODELS)
def test_the_schedule_sets_every_learning_rate_on_every_batch(make: Any) -> None:
    schedule = WarmupSchedule(steps=3, after=CosineSchedule(start=1.0, end=0.1, steps=6))
    watch = Watch()
    base = {0: 0.05}
    if make is vae:
        model: GenerativeModule = vae()
    else:
        model = gan(critic=partial(sgd, lr=0.2), generator=partial(sgd, lr=0.03))
        base = {0: 0.2, 1: 0.03}
    loader = batches(num=4, size=2)
    fit(model, loader, max_steps=11, callbacks=[LearningRate(schedule), watch])
    expected = [(i, lr * schedule(step)) for step in range(11) for i, lr in base.items()]
    assert [i for i, _ in watch.lrs] == [i for i, _ in expected]
    assert [lr for _, lr in watch.lrs] == pytest.approx([lr for _, lr in expected], rel=1e-12)
    assert len({lr for _, lr in watch.lrs}) >= 8


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("make", MODELS)
def test_clipping_holds_for_every_optimiser(make: Any, accumulate: int) -> None:
    limit = 0.01
    before, after = Watch(), Watch()
    clipped = [before, GradientClipping(max_norm=limit), after]
    fit(make(), batches(num=4, size=2), callbacks=clipped, accumulate=accumulate)
    assert len(after.norms) == (4 if make is vae else 8) // accumulate
    assert min(before.norms) > 1.5 * limit
    assert after.norms == pytest.approx([limit] * len(after.norms), rel=1e-3)


@pytest.mark.parametrize("make", MODELS)
def test_clipping_leaves_small_gradients_alone(make: Any) -> None:
    watches = [Watch(), Watch()]
    callbacks = [watches[0], GradientClipping(max_norm=1e6), watches[1]]
    fit(make(), batches(num=3, size=2), callbacks=callbacks)
    assert watches[0].norms == watches[1].norms


# The same through the whole engine, on the digits.


@pytest.fixture
def train(tmp_path: Path) -> Any:
    def start(*overrides: str) -> ganvas.Run:
        return ganvas.train(
            [
                "trainer=cpu",
                "logger=none",
                "callbacks.images=null",
                "trainer.progress_bar=false",
                "test=false",
                "dataset.max_train=50",
                "dataset.val_size=10",
                "dataset.batch_size=10",
                f"paths.runs_dir={tmp_path}",
                *overrides,
            ]
        )

    return start


def counters(run: ganvas.Run) -> dict[str, int]:
    return dict(read_checkpoint(run.path / "checkpoints" / "last.ckpt")["ganvas_counters"])


def trace_steps(run: ganvas.Run) -> list[int]:
    lines = (run.path / "trace.csv").read_text().splitlines()[1:]
    return [int(line.split(",")[0]) for line in lines]


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_run_of_max_steps_7_consumes_7_batches(train: Any, model: str) -> None:
    run = train(f"model={model}", "trainer.max_steps=7")
    assert counters(run)["step"] == 7
    assert counters(run)["images_seen"] == 70
    assert trace_steps(run) == list(range(1, 8))
    assert run.metrics().index.max() == 7


def test_a_run_counts_the_steps_of_both_sides(train: Any) -> None:
    run = train("model=gan", "trainer.max_steps=7", "model.n_critic=2")
    expected = {"step": 7, "images_seen": 70, "critic_steps": 7, "generator_steps": 3}
    assert counters(run) == expected
    last = run.metrics().iloc[-1]
    assert (last["train/critic_steps"], last["train/generator_steps"]) == (7, 3)


def test_a_run_with_accumulation_steps_once_a_window(train: Any) -> None:
    run = train(
        "model=gan",
        "trainer.max_steps=8",
        "trainer.accumulate_grad_batches=2",
        "dataset.max_train=80",
    )
    assert counters(run) == {
        "step": 8,
        "images_seen": 80,
        "critic_steps": 4,
        "generator_steps": 4,
    }


def test_an_epoch_is_the_loaders_length_for_both_families() -> None:
    for make in MODELS:
        model = make()
        fit(model, Batches(batches(num=3, size=2).batches), epochs=2)
        assert model.step == 6
