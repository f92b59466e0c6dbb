"""`ganvas train -m check=true`: one row for each cell, with what it will cost."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.engine_helpers import Said, ganvas
from ganvas.data import ImageData
from ganvas.engine.check import check_build, check_overrides
from ganvas.engine.report import estimated_mib, layers
from ganvas.models.automatic import AutomaticModule
from ganvas.sweep import estimate
from ganvas.sweep.estimate import Estimate, Estimator, Stopwatch, step_key, step_seconds
from ganvas.sweep.table import duration, summary


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANVAS_RUNS_DIR", "runs")
    monkeypatch.setenv("GANVAS_DATA_DIR", "data")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(estimate, "MEASURED_SECONDS", 0.02)
    monkeypatch.setattr(estimate, "SECONDS_PER_SHAPE", 120.0)  # on however busy a machine
    return tmp_path


def check(*overrides: str) -> Said:
    return ganvas("train", "-m", "check=true", "trainer=cpu", *overrides)


def rows(said: Said) -> list[list[str]]:
    assert said.code == 0, said.err
    lines = [line for line in said.out.splitlines() if line.startswith("│")]
    return [[text.strip() for text in line.strip("│").split("│")] for line in lines]


def test_a_row_for_each_cell_and_nothing_on_disk(place: Path) -> None:
    said = check("model=vae,gan", "seed=0,1", "trainer.max_epochs=2", "hydra.launcher.n_jobs=2")
    found = rows(said)
    assert [row[:2] for row in found] == [
        [str(index), f"model={model} seed={seed}"]
        for index, (model, seed) in enumerate((m, s) for m in ("vae", "gan") for s in (0, 1))
    ]
    for row, model in zip(found, ("vae", "vae", "gan", "gan"), strict=True):
        data, built = check_build(check_overrides([f"model={model}"]))
        nets = built.networks().values()
        assert row[2] == f"{sum(p.numel() for net in nets for p in net.parameters()):,}"
        assert (
            row[3]
            == f"{estimated_mib(built, layers(built, data), batch_size=data.batch_size):,.0f}"
        )
        assert row[4] == str(2 * (data.steps_per_epoch() or 0))
        assert float(row[5].replace(",", "")) > 0 and row[6].endswith((" s", " min"))
    assert found[0][5:] == found[1][5:] and found[2][5:] == found[3][5:]  # measured once
    assert "4 cells, 2 at once: about" in said.out and "Nothing was trained" in said.out
    assert list(place.iterdir()) == []


def test_files_that_are_not_there_leave_the_number_of_steps_open(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageData, "steps_per_epoch", lambda self: None)
    assert [row[4::2] for row in rows(check("seed=0,1"))] == [["unknown", ""]] * 2
    (row,) = rows(check("trainer.max_epochs=null", "trainer.max_steps=7"))
    assert row[4] == "7"


def test_one_cell_without_m_is_shown_in_full(place: Path) -> None:
    said = ganvas("train", "check=true", "trainer=cpu")
    assert said.code == 0 and "The config is good" in said.out and "ms/step" not in said.out


@cache
def key_of(*overrides: str) -> str:
    return step_key(check_overrides(["trainer=cpu", *overrides]).config)


@pytest.mark.parametrize(
    "override",
    ["seed=4", "name=b", "loss.beta=7", "logger=none", "trainer.max_epochs=3", "optimizer.lr=0.1"],
)
def test_what_costs_no_time_is_not_measured_again(override: str) -> None:
    assert key_of() == key_of(override)


@pytest.mark.parametrize(
    "override",
    ["model=conv_vae", "dataset.batch_size=32", "model.latent_dim=3", "trainer.num_threads=2"],
)
def test_what_costs_time_is(override: str) -> None:
    assert key_of() != key_of(override)


def test_penalties_differ_by_interval_and_not_by_weight() -> None:
    game = ("model=wgan_gp",)
    assert key_of(*game) == key_of(*game, "penalty.gradient_penalty.weight=3")
    assert key_of(*game) != key_of(*game, "penalty.gradient_penalty.interval=2")


class Sleeping:
    """A clock that goes on by a known time for each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(estimate.time, "monotonic", lambda: self.now)

    def steps(self, watch: Stopwatch, *seconds: float) -> None:
        trainer: Any = type("Trainer", (), {"should_stop": False})()
        module: Any = None
        watch.on_train_batch_start(trainer, module)
        for spent in seconds:
            self.now += spent
            watch.on_train_batch_end(trainer, module)


@pytest.mark.parametrize(
    ("period", "seconds", "mean"),
    [
        (1, [9, 9, 9, 1, 2, 3], 2.0),  # three warm up
        (2, [9, 9, 9, 9, 1, 3, 2, 4], 2.5),  # two periods do
        (2, [9, 9, 9, 9, 1, 3, 8], 2.0),  # the last one is not over
        (1, [9, 4], 4.0),  # few steps: the last one
        (1, [9], 9.0),
        (2, [9], None),
    ],
)
def test_the_stopwatch(
    monkeypatch: pytest.MonkeyPatch, period: int, seconds: list[float], mean: float | None
) -> None:
    watch = Stopwatch(period)
    Sleeping(monkeypatch).steps(watch, *seconds)
    assert watch.mean() == mean


def test_both_sides_of_a_game_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and weights move: optimisers step, of the generator too."""
    seen: list[Any] = []
    real = estimate.build_model

    def build(*given: Any, **named: Any) -> Any:
        seen.append(real(*given, **named))
        return seen[0]

    monkeypatch.setattr(estimate, "build_model", build)
    monkeypatch.setattr(estimate, "MEASURED_SECONDS", 0.02)
    monkeypatch.setattr(estimate, "SECONDS_PER_SHAPE", 120.0)
    checked = check_overrides(["model=gan", "trainer=cpu", "trainer.gradient_clip_val=1"])
    data, _ = check_build(checked)
    seconds = step_seconds(checked, data)
    assert seconds is not None and seconds > 0
    assert seen[0].counters["generator_steps"] == seen[0].counters["critic_steps"] >= 4


def test_a_step_that_takes_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: Any) -> None:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(estimate, "SECONDS_PER_SHAPE", 0.3)
    monkeypatch.setattr(AutomaticModule, "training_step", endless)
    checked = check_overrides(["trainer=cpu", "model=ae"])
    assert step_seconds(checked, check_build(checked)[0]) is None


def test_no_more_is_timed_once_the_time_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(estimate, "SECONDS_IN_ALL", 1e-9)
    threads = torch.get_num_threads()
    estimator = Estimator(threads=1)
    first = estimator(check_overrides(["trainer=cpu"]))
    second = estimator(check_overrides(["trainer=cpu", "model=ae"]))
    assert first.step_seconds is not None and second.step_seconds is None
    assert second.seconds is None and second.num_parameters > 0
    assert torch.get_num_threads() == threads


def costs(*seconds: float | None) -> list[Estimate]:
    return [Estimate(1, 1.0, 10, None if s is None else s / 10) for s in seconds]


def test_the_whole_time_is_that_of_slots_filled_in_order() -> None:
    assert summary(costs(30, 10, 10, 20), num_jobs=1).endswith("about 70 s of training steps")
    assert "about 40 s" in summary(costs(30, 10, 10, 20), num_jobs=2)
    assert "about 30 s" in summary(costs(30, 10, 10, 20), num_jobs=4)
    assert summary(costs(30, None), num_jobs=1).endswith("and 1 of unknown time")
    assert summary(costs(None), num_jobs=3) == "1 cell, 3 at once: time unknown"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (4.25, "4.2 s"), (119, "119 s"), (150, "2.5 min"), (3600, "60 min"),
     (7200, "2.0 h"), (86400 * 3, "3.0 d")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
