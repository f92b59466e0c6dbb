"""The `metrics` group: what measures a model, and what that does to monitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ganvas.engine.build import facts_for, instantiate, model_class
from ganvas.engine.compose import suggest
from ganvas.engine.features import build_extractor, default_features
from ganvas.engine.targets import INSTANTIATE_KEYS, locate
from ganvas.engine.watching import check_collapse, published
from ganvas.errors import ConfigError
from ganvas.evaluation.callback import Evaluations
from ganvas.evaluation.measure import Measure
from ganvas.evaluation.priors import OwnPrior, Prior
from ganvas.evaluation.subject import Options

if TYPE_CHECKING:
    from torch import nn

    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.engine.settings import Evaluation, Paths
    from ganvas.models.base import GenerativeModule
    from ganvas.nn.extractor import Extractor


def build_evaluations(checked: Checked, data: ImageData) -> Evaluations | None:
    """The callback that takes the measures of the `metrics` group; None where there are none.

    Raises:
        ConfigError: if one is no measure, a value is refused, or the model can't be measured so.
        DataError: if a network of features has to be trained and the images can't be read.
    """
    measures = build_measures(checked.config.get("metrics") or {})
    if not measures:
        return None
    check_fit(measures, checked, data)
    settings, paths = checked.settings.evaluation, checked.settings.paths
    extractor = extractor_for(measures, settings, data, paths=paths, trust=checked.trust)
    check_classes(measures, extractor)
    return Evaluations(
        measures,
        data,
        options=options_of(settings),
        extractor=extractor,
        cache_dir=paths.cache_dir,
        weights_dir=paths.weights_dir,
    )


def build_measures(nodes: Mapping[str, Any]) -> dict[str, Measure]:
    """The measures of checked nodes, by name; a null entry switches one off.

    Raises:
        ConfigError: if one is no measure, or a value is refused.
    """
    measures: dict[str, Measure] = {}
    for name, node in nodes.items():
        if node is None:
            continue
        try:
            built = instantiate(node)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"metrics.{name}: {error}") from error
        except TypeError as error:  # an abstract class
            raise ConfigError(f"metrics.{name}: {error}; name a class of your own") from error
        if not isinstance(built, Measure):
            raise ConfigError(
                f"metrics.{name}: must name a measure by _target_, got {type(built).__name__}"
            )
        measures[name] = built
    return measures


def check_fit(measures: Mapping[str, Measure], checked: Checked, data: ImageData) -> None:
    """Every measure fits the model and its data.

    Raises:
        ConfigError: for the first that does not, with the reason.
    """
    for name, measure in measures.items():
        if fault := fault_of(measure, model_class(checked), data, prior=OwnPrior()):
            model = checked.choices.get("model", "this model")
            raise ConfigError(f"metrics={name}: model={model} {fault}; leave {name} out")


def fault_of(
    measure: Measure, model: type[nn.Module], data: ImageData, *, prior: Prior
) -> str | None:
    """Why a model can't be measured so, its samples being of this prior; or None."""
    unsampled = prior.unfit(model) if measure.needs_samples else None
    return unsampled or measure.unfit(model, data)


def options_of(settings: Evaluation) -> Options:
    """As measures take them."""
    names = ("num", "seed", "ema", "quantize", "reference", "batch_size")
    return Options(**{name: getattr(settings, name) for name in names})


def extractor_for(
    measures: Mapping[str, Measure],
    settings: Evaluation,
    data: ImageData,
    *,
    paths: Paths,
    trust: Sequence[str],
) -> Extractor | None:
    """The network of `features`, frozen; None if none is needed. See `chosen_extractor`."""
    if not any(measure.needs_features for measure in measures.values()):
        return None
    return chosen_extractor(settings.features, data, layer=settings.layer, paths=paths, trust=trust)


def chosen_extractor(
    node: Mapping[str, Any],
    data: ImageData,
    *,
    layer: str | None = None,
    paths: Paths,
    trust: Sequence[str],
) -> Extractor:
    """The network of the `features` group, frozen, or for {} the one that the data call for.

    Raises:
        ConfigError: if it is no network, or has no such layer.
    """
    node = node or default_features(data)
    target = locate(node.get("_target_", ""), key="features._target_", trust=trust)
    given = facts_for(target, data, stated=node)
    build = partial(instantiate, {**node, **given, "_partial_": False})
    arguments = {k: v for k, v in node.items() if k not in INSTANTIATE_KEYS}
    try:
        return build_extractor(build, data, layer=layer, paths=paths, arguments=arguments)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"features: {error}") from error


def check_classes(measures: Mapping[str, Measure], extractor: Extractor | None) -> None:
    """An extractor that has seen images knows classes where a measure needs them.

    Raises:
        ConfigError: with the remedy.
    """
    for name, measure in measures.items():
        if measure.needs_classes and extractor is not None and extractor.knows_classes is False:
            raise ConfigError(
                f"metrics={name}: features={extractor.name} know no classes; choose features that "
                f"do, such as classifier, or leave {name} out"
            )


def directions(checked: Checked, data: ImageData) -> dict[str, bool]:
    """Whether higher is better, for each part of the model and each metric that has a direction."""
    with torch.device("meta"):
        evaluations = build_evaluations(checked, data)
    measured = {} if evaluations is None else evaluations.directions
    return {**model_class(checked).directions(), **published(checked), **measured}


class Monitors:
    """What may be monitored, and in which direction.

    Args:
        checked: the job.
        model: built, on any device.
        evaluations: of the `metrics` group, if there are any.
    """

    def __init__(
        self, checked: Checked, model: GenerativeModule, evaluations: Evaluations | None
    ) -> None:
        self.checked, self.model = checked, model
        self.measured = {} if evaluations is None else evaluations.directions
        self.directions = {
            **model_class(checked).directions(),
            **published(checked),
            **self.measured,
        }
        self.default = model.monitor or (None if evaluations is None else evaluations.monitor)
        """The model's own; else that of the measures; None where nothing is fit for it."""

    def mode(self, monitor: str, given: str | None, *, section: str = "checkpoint") -> str:
        """Whether a monitor should fall (`min`) or rise (`max`): as given or as it is known.

        Raises:
            ConfigError: if neither says so.
        """
        if given is not None:
            return given
        if monitor == self.model.monitor:
            return self.model.monitor_mode
        part = monitor.partition("/")[2]
        if part not in self.directions:
            raise ConfigError(
                f"trainer.{section}.mode: say min or max for {monitor}; neither is known"
            )
        return "max" if self.directions[part] else "min"

    def check(self, parts: Sequence[str]) -> None:
        """What early stopping and the best checkpoint look at will be there, with a direction.

        Args:
            parts: that the model reports.

        Raises:
            ConfigError: with the monitors that there are.
        """
        checked, trainer = self.checked, self.checked.settings.trainer
        known = [f"val/{p}" for p in (*parts, *published(checked), *self.measured)]
        stop = trainer.early_stopping
        if stop and not (stop.monitor or self.default):
            raise ConfigError(
                f"trainer.early_stopping: model={checked.choices.get('model', '?')} has no monitor "
                f"of its own; set trainer.early_stopping.monitor, one of {', '.join(known)}, and "
                "its mode"
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
                self.mode(monitor, mode, section=section)
        check_collapse(checked, known=known, directions=self.directions)
