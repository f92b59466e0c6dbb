"""Sees that adversarial training has collapsed, and says so or ends it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytorch_lightning as pl

from ganvas.callbacks.collapse_rules import (
    CriticLossIsZero,
    DiversityDrops,
    GradientsExplode,
    MetricRebounds,
    Rule,
)
from ganvas.protocols import Adversarial, trainable

if TYPE_CHECKING:
    from ganvas.protocols import Recorder

NORMS = ("critic_gradient_norm", "generator_gradient_norm")

_log = logging.getLogger(__name__)


class Collapse(pl.Callback):
    """Judges an adversarial model's figures as they are written; silent for other models.

    Means of each logging window and values of each validation come from `Figures`, so nothing
    more is computed or fetched. A rule that finds its sign is noted once, with step, reason and
    value, in `run.json` under `collapses`, in the log and by the trackers, and again only after
    the sign was gone. `stop` ends training at the next optimiser step, in order: the last
    checkpoint is written and tested. See `collapse_rules` for what each rule means; a threshold
    of None switches it off.

    Args:
        action: "warn" or "stop".
        critic_loss: threshold of `CriticLossIsZero`.
        gradient_factor: of `GradientsExplode`, for both sides' norms.
        gradient_warmup: windows before gradients are judged.
        diversity: threshold of `DiversityDrops`.
        diversity_from_step: from which a generator must be above it.
        metric: a validation metric that may not rebound.
        metric_factor: of `MetricRebounds`.
        metric_mode: "min" or "max"; None where its direction is known.

    Attributes:
        recorder: what takes the collapses; None in a rank other than 0.
        collapses: those of the run so far.
        stopped: why it ended training, if it did.

    Raises:
        ValueError: if a value is out of its range.
    """

    def __init__(
        self,
        *,
        action: Literal["warn", "stop"],
        critic_loss: float | None,
        gradient_factor: float | None,
        gradient_warmup: int,
        diversity: float | None,
        diversity_from_step: int | None,
        metric: str | None,
        metric_factor: float,
        metric_mode: Literal["min", "max"] | None = None,
    ) -> None:
        _check(critic_loss, "critic_loss", above=0.0)
        _check(gradient_factor, "gradient_factor", above=1.0)
        _check(diversity, "diversity", above=0.0)
        _check(metric_factor, "metric_factor", above=1.0)
        if gradient_warmup < 1:
            raise ValueError(f"gradient_warmup must be at least 1 window, got {gradient_warmup}")
        if diversity_from_step is not None and diversity_from_step < 0:
            raise ValueError(f"diversity_from_step must be at least 0, got {diversity_from_step}")
        self.stops = action == "stop"
        self.metric, self.metric_factor, self.metric_mode = metric, metric_factor, metric_mode
        self.recorder: Recorder | None = None
        self.collapses: list[dict[str, Any]] = []
        self.stopped: str | None = None
        self._reason: str | None = None
        self._active = False
        self._lasting: set[str] = set()
        self._remembered: Mapping[str, Any] = {}
        self._rules: list[Rule] = []
        if critic_loss is not None:
            self._rules.append(CriticLossIsZero(critic_loss))
        if gradient_factor is not None:
            warmup = gradient_warmup
            self._rules += [GradientsExplode(n, gradient_factor, warmup=warmup) for n in NORMS]
        if diversity is not None:
            self._rules.append(DiversityDrops(diversity, from_step=diversity_from_step))

    def state_dict(self) -> dict[str, Any]:
        """What was found, what lasts, and what each rule remembers."""
        return {
            "collapses": [dict(event) for event in self.collapses],
            "lasting": sorted(self._lasting),
            "rules": {rule.name: rule.state_dict() for rule in self._rules},
            "reason": self._reason if self.stops else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take all of it up; what was found after the checkpoint is forgotten with it."""
        self.collapses = [dict(event) for event in state_dict["collapses"]]
        self._lasting = set(state_dict["lasting"])
        self._remembered = state_dict["rules"]
        self._reason = state_dict["reason"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Watch games alone; the record gets what was found so far, be it nothing."""
        del trainer
        self._active = isinstance(pl_module, Adversarial)
        if not self._active:
            return
        if self.metric is not None:
            assert self.metric_mode is not None  # the engine has refused or filled it in
            mode = self.metric_mode
            self._rules.append(MetricRebounds(self.metric, self.metric_factor, mode=mode))
        for rule in self._rules:
            if rule.name in self._remembered:
                rule.load_state_dict(self._remembered[rule.name])
        if self.recorder is not None:
            self.recorder.log_collapses(self.collapses)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run resumed where it was to end trains no further, unless it is to warn by now."""
        del pl_module
        self._stop(trainer)

    def observe(self, figures: Mapping[str, float], step: int) -> None:
        """Judge figures as they are written; those that are not finite say nothing here."""
        if not self._active:
            return
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        for rule in self._rules:
            finding = rule.judge(finite, step=step)
            if finding is None:
                continue
            if not finding.collapsed:
                self._lasting.discard(rule.name)
            elif rule.name not in self._lasting:
                self._lasting.add(rule.name)
                event = {"rule": rule.name, "reason": finding.reason, "value": finding.value}
                self._note({"step": step, **event})

    def _note(self, event: dict[str, Any]) -> None:
        self.collapses.append(event)
        text = f"collapse at step {event['step']}: {event['reason']}"
        self._reason = self._reason or text
        if self.recorder is not None:
            _log.warning(text)
            self.recorder.log_collapses(self.collapses)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """End training where asked to, not inside an accumulation window."""
        if (batch_idx + 1) % trainable(pl_module).accumulate == 0 or trainer.is_last_batch:
            self._stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End training where asked to; all ranks do as rank 0 has judged."""
        if not (self.stops and self._active):
            return
        if trainer.world_size > 1:
            self._reason = trainer.strategy.broadcast(self._reason)
        if trainable(pl_module).accumulate == 1 or trainer.is_last_batch:
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        if self.stops and self._reason is not None:
            self.stopped = self._reason
            trainer.should_stop = True


def _check(value: float | None, name: str, *, above: float) -> None:
    if value is not None and value <= above:
        off = "" if name == "metric_factor" else "; null switches its rule off"
        raise ValueError(f"{name} must be over {above:g}, got {value}{off}")
