"""Each sign of collapse on figures made for it, and on training that is well."""

from __future__ import annotations

import logging
import math
from functools import partial
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor

from callbacks.recorders import Kept
from ganvas.callbacks.checkpoints import Checkpoints
from ganvas.callbacks.collapse import Collapse
from ganvas.callbacks.collapse_rules import (
    CriticLossIsZero,
    DiversityDrops,
    Finding,
    GradientsExplode,
    MetricRebounds,
    Rule,
)
from ganvas.callbacks.diversity import Diversity
from ganvas.callbacks.figures import Figures
from ganvas.engine.checkpoint_files import read_checkpoint
from ganvas.models.gan.gan import GAN
from ganvas.nn.random_features import RandomFeatures
from models.tiny import batches, fit, gan, vae

DEFAULTS = {
    "action": "warn",
    "critic_loss": 0.001,
    "gradient_factor": 100.0,
    "gradient_warmup": 2,
    "diversity": 0.1,
    "diversity_from_step": None,
    "metric": None,
    "metric_factor": 2.0,
    "metric_mode": "min",
}


def watching(recorder: Kept | None = None, **changes: Any) -> Collapse:
    callback = Collapse(**{**DEFAULTS, **changes})
    callback.recorder = recorder or Kept()
    callback.on_fit_start(None, gan())  # type: ignore[arg-type]
    return callback


def judged(rule: Rule, name: str, values: list[float]) -> list[bool]:
    """Whether the sign is there at each of some values."""
    found = [rule.judge({name: value}, step=i) for i, value in enumerate(values)]
    return [finding is not None and finding.collapsed for finding in found]


# Rules


@pytest.mark.parametrize(
    ("loss", "real", "fake", "collapsed"),
    [
        (0.0, 1.0, 1.0, True),
        (0.0009, 0.99, 0.99, True),
        (0.001, 1.0, 1.0, False),
        (0.0009, 0.98, 1.0, False),
        (0.0009, 1.0, 0.98, False),
        (-0.5, 1.0, 1.0, False),  # a Wasserstein critic's
    ],
)
def test_a_critic_that_is_always_right(
    loss: float, real: float, fake: float, *, collapsed: bool
) -> None:
    figures = {"train/critic_loss": loss, "train/real_accuracy": real, "train/fake_accuracy": fake}
    finding = CriticLossIsZero(0.001).judge(figures, step=5)
    assert finding is not None
    assert (finding.collapsed, finding.value) == (collapsed, loss)


def test_a_critic_of_unknown_accuracy_is_not_judged() -> None:
    assert CriticLossIsZero(0.001).judge({"train/critic_loss": 0.0}, step=5) is None


def test_gradients_are_compared_with_the_median_of_earlier_windows() -> None:
    """The medians are 2 before the third value and the fourth, then 2.5 and 2."""
    rule = GradientsExplode("critic_gradient_norm", 10.0, warmup=2)
    values = [1.0, 3.0, 20.0, 30.1, 2.0]
    expected = [False, False, False, True, False]
    assert judged(rule, "train/critic_gradient_norm", values) == expected
    rule = GradientsExplode("critic_gradient_norm", 10.0, warmup=2)
    values = [1.0, 3.0, 20.1, 30.1, 30.0]
    expected = [False, False, True, True, False]
    assert judged(rule, "train/critic_gradient_norm", values) == expected


def test_gradients_in_the_warm_up_and_of_zero_median_are_not_judged() -> None:
    rule = GradientsExplode("critic_gradient_norm", 10.0, warmup=3)
    assert judged(rule, "train/critic_gradient_norm", [1.0, 1e6, 1.0]) == [False] * 3
    rule = GradientsExplode("critic_gradient_norm", 10.0, warmup=1)
    assert judged(rule, "train/critic_gradient_norm", [0.0, 5.0]) == [False] * 2


def test_diversity_drops_only_from_above() -> None:
    rule = DiversityDrops(0.1, from_step=None)
    values = [0.05, 0.01, 0.1, 0.5, 0.09, 0.3, 0.0, 0.01]
    assert judged(rule, "val/diversity", values) == [False] * 4 + [True, False, True, True]


def test_diversity_must_be_there_from_a_step_on() -> None:
    """Steps are 0, 1, 2, 3."""
    rule = DiversityDrops(0.1, from_step=2)
    assert judged(rule, "val/diversity", [0.0, 0.0, 0.0, 0.2]) == [False, False, True, False]


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("min", [9.0, 4.0, 8.0, 8.1, 3.0, 6.1], [0, 0, 0, 1, 0, 1]),
        ("max", [1.0, 4.0, 2.0, 1.9, 6.0, 2.9], [0, 0, 0, 1, 0, 1]),
        ("max", [-100.0, -90.0, -180.0, -181.0], [0, 0, 0, 1]),  # an ELBO
        ("min", [-4.0, -2.0, -1.9], [0, 0, 1]),
    ],
)
def test_a_metric_rebounds_from_its_best(
    mode: Any, values: list[float], expected: list[int]
) -> None:
    rule = MetricRebounds("val/fd", 2.0, mode=mode)
    assert judged(rule, "val/fd", values) == [bool(e) for e in expected]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (partial(GradientsExplode, "critic_gradient_norm", 10.0, warmup=2), None),
        (partial(DiversityDrops, 0.1, from_step=None), "val/diversity"),
        (partial(MetricRebounds, "val/fd", 2.0, mode="min"), "val/fd"),
    ],
)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_rule_taken_up_again_judges_as_if_never_left(make: Any, name: Any, cut: int) -> None:
    name, values = name or "train/critic_gradient_norm", [1.0, 0.3, 0.2, 0.05, 40.0]
    whole = judged(make(), name, values)
    first, second = make(), make()
    begun = judged(first, name, values[:cut])
    second.load_state_dict(first.state_dict())
    assert begun + judged(second, name, values[cut:]) == whole
    assert any(whole)


# The callback


def spike(callback: Collapse, value: float, step: int) -> None:
    callback.observe({"train/critic_gradient_norm": value}, step)


def test_a_rule_speaks_once_until_its_sign_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    callback = watching(kept)
    with caplog.at_level(logging.WARNING):
        for step, value in enumerate([1.0, 1.0, 500.0, 600.0, 1.0, 700.0], start=1):
            spike(callback, value, step)
    reason = "critic_gradient_norm 500 is over 100 times its median 1"
    first = {"step": 3, "rule": "critic_gradient_norm", "reason": reason, "value": 500.0}
    assert kept.collapses[0] == first
    assert [event["step"] for event in kept.collapses] == [3, 6]
    assert next(r.message for r in caplog.records) == f"collapse at step 3: {reason}"
    assert len(caplog.records) == 2


def test_figures_that_are_not_finite_say_nothing() -> None:
    callback = watching()
    for step, value in enumerate([1.0, 1.0, math.inf, math.nan, 1.0], start=1):
        spike(callback, value, step)
    assert callback.collapses == []


def test_rules_of_null_are_off() -> None:
    callback = watching(critic_loss=None, gradient_factor=None, diversity=None)
    figures = {"train/critic_loss": 0.0, "train/real_accuracy": 1.0, "train/fake_accuracy": 1.0}
    for step in range(5):
        callback.observe({**figures, "val/diversity": 0.2 - 0.1 * (step > 2)}, step)
        spike(callback, 1.0 if step < 3 else 1e9, step)
    assert callback.collapses == []
    assert callback.state_dict()["rules"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"critic_loss": -1.0}, "critic_loss must be over 0, got -1.0; null switches its rule off"),
        ({"critic_loss": 0.0}, "critic_loss must be over 0, got 0.0; null switches its rule off"),
        ({"gradient_factor": 1.0}, "gradient_factor must be over 1, got 1.0; null switches"),
        ({"gradient_warmup": 0}, "gradient_warmup must be at least 1 window, got 0"),
        ({"diversity": -0.1}, "diversity must be over 0, got -0.1; null switches its rule off"),
        ({"diversity_from_step": -1}, "diversity_from_step must be at least 0, got -1"),
        ({"metric_factor": 0.5}, r"metric_factor must be over 1, got 0.5$"),
    ],
)
def test_thresholds_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        watching(**changes)


# Training


def trained(model: Any, callback: Collapse, **named: Any) -> Kept:
    """Three epochs of four batches, with a validation after each."""
    kept = Kept()
    callback.recorder = kept
    figures = Figures(kept, every_n_steps=1)
    figures.watchers.append(callback.observe)
    diversity = Diversity(num=8, features=RandomFeatures(widths=[4], seed=0))
    fit(
        model,
        batches(num=4, size=4),
        epochs=3,
        callbacks=[figures, diversity, callback, *named.pop("callbacks", [])],
        val=batches(num=2, size=4),
        **named,
    )
    return kept


def constant(*, after: int) -> GAN:
    """A GAN whose samples are all alike from some step on."""
    model = gan()
    plain = model.sample

    def sample(self: GAN, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        images = plain(num, noise=noise, seed=seed) + 0.0
        return images[:1].expand_as(images) if self.step >= after else images

    model.sample = MethodType(sample, model)
    return model


def test_training_that_is_well_fires_nothing() -> None:
    kept = trained(gan(), Collapse(**DEFAULTS))
    assert kept.collapses == []
    assert len(kept.means("val/diversity")) == 3


def test_a_constant_generator_is_seen_by_its_diversity() -> None:
    threshold = min(trained(gan(), Collapse(**DEFAULTS)).means("val/diversity").values()) / 2
    kept = trained(constant(after=8), Collapse(**{**DEFAULTS, "diversity": threshold}))
    assert [(e["rule"], e["step"], e["value"]) for e in kept.collapses] == [("diversity", 8, 0.0)]


def test_a_critic_that_learns_too_fast_is_seen_by_its_loss() -> None:
    """A learning rate a hundred times too large: it tells all images after a few steps."""
    fast = partial(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9))
    still = partial(torch.optim.SGD, lr=0.0)
    callback = Collapse(**{**DEFAULTS, "critic_loss": 0.05})
    kept = trained(gan(critic=fast, generator=still), callback)
    assert [event["rule"] for event in kept.collapses] == ["critic_loss"]
    assert trained(gan(), Collapse(**{**DEFAULTS, "critic_loss": 0.05})).collapses == []


def test_a_gradient_spike_is_seen() -> None:
    model = gan()
    plain = model.critic_terms

    def critic_terms(self: GAN, batch: Any) -> Any:
        terms = plain(batch)
        factor = 1e4 if self.step == 6 else 1.0
        return type(terms)(terms.total * factor, terms.parts)

    model.critic_terms = MethodType(critic_terms, model)
    kept = trained(model, Collapse(**DEFAULTS))
    first = kept.collapses[0]
    assert (first["rule"], first["step"]) == ("critic_gradient_norm", 7)


def test_stop_ends_training_in_order() -> None:
    model = constant(after=4)
    callback = Collapse(**{**DEFAULTS, "action": "stop", "diversity_from_step": 0})
    kept = trained(model, callback)
    assert model.step == 4
    assert callback.stopped == f"collapse at step 4: {kept.collapses[0]['reason']}"
    model = constant(after=4)
    callback = Collapse(**{**DEFAULTS, "diversity_from_step": 0})
    trained(model, callback)
    assert (model.step, callback.stopped) == (12, None)


def test_a_run_killed_after_it_was_stopped_does_not_go_on() -> None:
    """Unless it is resumed to be warned alone; and what was a warning stops nothing."""

    def resumed(before: str, after: str) -> tuple[int, str | None]:
        changes = {**DEFAULTS, "diversity_from_step": 0}
        model = constant(after=4)
        first = Collapse(**{**changes, "action": before})
        trained(model, first)
        second = Collapse(**{**changes, "action": after})
        second.load_state_dict(first.state_dict())
        began = model.step
        trained(model, second)
        return model.step - began, second.stopped

    moved, reason = resumed("stop", "stop")
    assert moved == 0
    assert reason is not None
    assert reason.startswith("collapse at step 4: diversity")
    assert resumed("stop", "warn") == (12, None)
    assert resumed("warn", "stop") == (12, None)


def test_stop_waits_for_the_end_of_an_accumulation_window() -> None:
    """The sign is there in every step; after the first one gradients are still being gathered."""
    callback = Collapse(**{**DEFAULTS, "action": "stop"})
    callback._rules[0].judge = lambda figures, *, step: Finding(True, 0.0, "made up")  # type: ignore[method-assign]
    model = gan()
    kept = trained(model, callback, accumulate=2)
    assert (model.step, kept.collapses[0]["step"]) == (2, 1)


def test_a_model_that_is_no_game_is_left_alone() -> None:
    kept = trained(vae(), Collapse(**{**DEFAULTS, "diversity_from_step": 0}))
    assert kept.collapses is None


def test_a_resumed_run_says_what_the_uninterrupted_one_says(tmp_path: Any) -> None:
    """Cut at step 8 of 12: the events up to there once, the later one once again."""

    def saving() -> Checkpoints:
        return Checkpoints(
            tmp_path, monitor=None, mode="min", every_n_steps=4, keep=9, pending_signal=lambda: None
        )

    def callback() -> Collapse:
        return Collapse(**{**DEFAULTS, "gradient_factor": 1.05, "diversity_from_step": 4})

    whole = trained(constant(after=4), callback(), callbacks=[saving()])
    assert len(whole.collapses) > 2
    state = read_checkpoint(tmp_path / "step-00000008.ckpt")
    early = [event for event in whole.collapses if event["step"] < 8]
    assert 0 < len(early) < len(whole.collapses)

    model, resumed = constant(after=4), callback()
    model.load_state_dict(state["state_dict"])
    model.on_load_checkpoint(state)
    resumed.load_state_dict(state["callbacks"]["Collapse"])
    assert [e for e in resumed.collapses if e["step"] < 8] == early
    kept = Kept()
    resumed.recorder = kept
    figures = Figures(kept, every_n_steps=1)
    figures.watchers.append(resumed.observe)
    diversity = Diversity(num=8, features=RandomFeatures(widths=[4], seed=0))
    fit(
        model,
        batches(num=4, size=4),
        max_steps=12,
        callbacks=[figures, diversity, resumed],
        val=batches(num=2, size=4),
    )
    assert kept.collapses == whole.collapses
