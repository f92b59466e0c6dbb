"""The `metrics` group: what measures a model's samples, and what that does to monitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ganvas.engine.build import facts_for, instantiate, model_class
from ganvas.engine.compose import suggest
from ganvas.engine.features import build_features
from ganvas.engine.targets import locate
from ganvas.engine.watching import check_collapse, published
from ganvas.errors import ConfigError
from ganvas.protocols import Samples

if TYPE_CHECKING:
    from torch import nn

    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule
    from ganvas.types import Split


@runtime_checkable
class Measures(Protocol):
    """A callback that logs `val/…` and `test/…`.

    Attributes:
        monitor: what selects the best checkpoint of a model that has no monitor of its own.
        higher_is_better: direction of each metric that it logs.
    """

    monitor: str
    higher_is_better: Mapping[str, bool]

    def protocol(self, model: nn.Module, counts: Mapping[Split, int]) -> dict[str, Any]:
        """What must be equal for two values to be compared; `counts` are of the images."""


def build_metrics(checked: Checked, data: ImageData) -> Any:
    """The callback of the `metrics` group; None where there is none.

    Its `features` become a frozen network, a classifier with the weights for these images.

    Raises:
        ConfigError: if it is no such callback, a value is refused, or the model draws no samples.
        DataError: if a classifier has to be trained and the images can't be read.
    """
    from pytorch_lightning import Callback

    if (target := _target(checked)) is None:
        return None
    chosen, model = checked.choices.get("metrics", "?"), checked.choices.get("model", "?")
    if not issubclass(model_class(checked), Samples):
        raise ConfigError(f"metrics={chosen}: model={model} draws no samples; leave metrics out")
    node = checked.config["metrics"]
    try:
        parts = {k: instantiate(v) for k, v in node.items() if k not in ("_target_", "features")}
        if node.get("features"):
            parts["features"] = _features(checked, data, node["features"])
        built = target(**parts, **facts_for(target, data, stated=node))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"metrics={chosen}: {error}") from error
    if not isinstance(built, Callback) or not isinstance(built, Measures):
        raise ConfigError(f"metrics={chosen}: {type(built).__name__} is no callback that measures")
    return built


def _features(checked: Checked, data: ImageData, node: Any) -> Any:
    factory = instantiate(node)
    if isinstance(factory, partial):
        factory = partial(factory, **facts_for(factory.func, data, stated=node))
    build = factory if isinstance(factory, partial) else lambda: factory
    try:
        return build_features(build, data, cache_dir=checked.settings.paths.cache_dir)
    except ValueError as error:
        raise ConfigError(f"metrics.features: {error}") from error


def _target(checked: Checked) -> Any:
    node = checked.config.get("metrics")
    if not node:
        return None
    return locate(node.get("_target_", ""), key="metrics._target_", trust=checked.trust)


def directions(checked: Checked) -> dict[str, bool]:
    """Whether higher is better, for each part of the model and each metric that has a direction."""
    target = _target(checked)
    measured = {} if target is None else target.higher_is_better
    return {**model_class(checked).directions(), **published(checked), **measured}


def default_monitor(checked: Checked, model: GenerativeModule) -> str | None:
    """The model's own; else that of the `metrics` group; None where nothing is fit for it."""
    target = _target(checked)
    return model.monitor or (None if target is None else target.monitor)


def monitor_mode(
    checked: Checked,
    model: GenerativeModule,
    monitor: str,
    given: str | None,
    *,
    section: str = "checkpoint",
) -> str:
    """Whether a monitored metric should fall (`min`) or rise (`max`): as given or as it is known.

    Raises:
        ConfigError: if neither says so.
    """
    if given is not None:
        return given
    if monitor == model.monitor:
        return model.monitor_mode
    part = monitor.partition("/")[2]
    if part not in (known := directions(checked)):
        raise ConfigError(f"trainer.{section}.mode: say min or max for {monitor}; neither is known")
    return "max" if known[part] else "min"


def check_monitors(checked: Checked, model: GenerativeModule, parts: Sequence[str]) -> None:
    """What early stopping and the best checkpoint look at will be there, and has a direction.

    Args:
        checked: the job.
        model: built, on any device.
        parts: that the model reports.

    Raises:
        ConfigError: with the monitors that there are.
    """
    target = _target(checked)
    measured = (*published(checked), *(target.higher_is_better if target else ()))
    known = [f"val/{p}" for p in (*parts, *measured)]
    trainer, name = checked.settings.trainer, checked.choices.get("model", "?")
    stop = trainer.early_stopping
    if stop and not (stop.monitor or default_monitor(checked, model)):
        raise ConfigError(
            f"trainer.early_stopping: model={name} has no monitor of its own; set "
            f"trainer.early_stopping.monitor, one of {', '.join(known)}, and its mode"
        )
    callbacks = (checked.config.get("callbacks") or {}).values()
    if any(c and not str(c.get("_target_")).startswith("ganvas.") for c in callbacks):
        return  # these may log more than the model does
    chosen = {"checkpoint": (trainer.checkpoint.monitor, trainer.checkpoint.mode)}
    if stop:
        chosen["early_stopping"] = (stop.monitor, stop.mode)
    for section, (monitor, mode) in chosen.items():
        if monitor is not None and monitor not in known:
            raise ConfigError(
                f"trainer.{section}.monitor={monitor}: no such metric{suggest(monitor, known)}"
            )
        if monitor is not None:
            monitor_mode(checked, model, monitor, mode, section=section)
    check_collapse(checked, known=known, directions=directions(checked))
