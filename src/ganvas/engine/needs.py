"""What a run needs of the number of its images: a validation split, and a budget that is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganvas.engine.trainer import total_steps
from ganvas.engine.watching import watched_metrics
from ganvas.errors import ConfigError
from ganvas.models.adversarial import AdversarialModule

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule


def check_needs(checked: Checked, model: GenerativeModule, data: ImageData) -> None:
    """All that depends on the number of images; needs prepared data.

    Raises:
        ConfigError: with the value to set instead.
    """
    settings = checked.settings.trainer
    monitors = [settings.checkpoint.monitor, *watched_metrics(checked)]
    if settings.early_stopping:
        monitors.append(settings.early_stopping.monitor or "the model's")
    if any(monitors) and data.counts["val"] == 0:
        raise ConfigError("a monitor needs validation images; set dataset.val_size above 0")
    measures = [name for name, node in (checked.config.get("metrics") or {}).items() if node]
    if measures and 1 in (data.counts["val"], data.counts["test"]):
        raise ConfigError(
            f"metrics={','.join(measures)}: a split of one image has no spread to "
            "compare with; set dataset.val_size to 0 or to at least 2, or choose metrics=none"
        )
    check_budget(checked, model, steps_per_epoch=data.steps_per_epoch())


def check_budget(checked: Checked, model: GenerativeModule, *, steps_per_epoch: int | None) -> None:
    """The budget ends with a window of accumulation, and lets the generators step at all.

    Args:
        checked: the job.
        model: built, on any device.
        steps_per_epoch: batches; None where only the files can tell, and nothing is checked.

    Raises:
        ConfigError: with the value to set instead.
    """
    if not steps_per_epoch:
        return
    settings = checked.settings.trainer
    window, budget = settings.accumulate_grad_batches, settings.max_steps
    cut = (budget or 0) % steps_per_epoch % window
    if budget and cut:
        remedies = sorted({budget - cut or window, budget + window - cut})
        raise ConfigError(
            f"trainer.max_steps={budget} ends inside a window of "
            f"trainer.accumulate_grad_batches={window} batches, whose gradient would be lost; "
            f"set max_steps to {' or '.join(map(str, remedies))}"
        )
    total = total_steps(checked, steps_per_epoch)
    if isinstance(model, AdversarialModule) and total is not None:
        _check_game(checked, model, total, steps_per_epoch)


def _check_game(
    checked: Checked, model: AdversarialModule, total: int, steps_per_epoch: int
) -> None:
    """At least one step of the generators; an epoch's last window may be a short one."""
    epochs, rest = divmod(total, steps_per_epoch)
    window = checked.settings.trainer.accumulate_grad_batches
    critic_steps = epochs * -(-steps_per_epoch // window) + rest // window
    if model.n_critic > critic_steps:
        raise ConfigError(
            f"model.n_critic={model.n_critic}: must be at most {critic_steps}, the critic steps "
            f"in the budget of {total} batches, or the generator never steps; lower it, or raise "
            f"{_limit(checked, total)}"
        )


def _limit(checked: Checked, total: int) -> str:
    """The key that holds the budget."""
    by_steps = checked.settings.trainer.max_steps == total
    return "trainer.max_steps" if by_steps else "trainer.max_epochs"
