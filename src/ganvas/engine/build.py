"""From plain config to live objects: data, model, callbacks, trackers.

A model's constructor says which groups it takes: every parameter that has the name of a config
group is filled with what that group builds. A group that the model does not take, or one that it
lacks, is an impossible pair.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ganvas.engine.dataset_node import DATA_ONLY_IN_SOURCE, check_dataset, check_source
from ganvas.engine.roles import asks_for_part, check_roles
from ganvas.engine.settings import TrainSettings
from ganvas.engine.signatures import argument_hints, parameters_of
from ganvas.engine.targets import (
    INSTANTIATE_KEYS,
    check_node,
    import_object,
    locate,
)
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.models.base import GenerativeModule
    from ganvas.protocols import Schedule

MODEL_GROUPS = (
    "network",
    "generator_condition",
    "critic_condition",
    "loss",
    "likelihood",
    "corruption",
    "penalty",
    "optimizer",
    "features",
)
FACTS = ("image_shape", "num_classes", "num_train")
"""What the data tell a model, or the outermost class of a group, whose constructor asks for it."""
NOT_NODES = ("model", "dataset", "paths", "trainer", "evaluation")


@dataclass(frozen=True)
class Checked:
    """A config whose keys, types and targets are known to be good.

    Attributes:
        settings: the typed sections.
        config: the same as plain, resolved containers: what a run records.
        choices: chosen option by group.
        trust: trusted modules.
    """

    settings: TrainSettings
    config: dict[str, Any]
    choices: dict[str, str]
    trust: tuple[str, ...]


def instantiate(node: Any) -> Any:
    """What a checked node stands for: its `_target_` called with its arguments, or a partial of it.

    Not Hydra's, which resolves interpolations and looks the target up in its own way: what is
    called here is what was checked, and an error of the target stays its own.
    """
    if isinstance(node, list):
        return [instantiate(child) for child in node]
    if not isinstance(node, dict):
        return node
    recursive = node.get("_recursive_", True)
    arguments = {
        name: instantiate(child) if recursive else child
        for name, child in node.items()
        if name not in INSTANTIATE_KEYS
    }
    if "_target_" not in node:
        return arguments
    target = import_object(node["_target_"], key="_target_")
    return partial(target, **arguments) if node.get("_partial_") else target(**arguments)


def build_data(checked: Checked) -> ImageData:
    """The data set, with no file touched yet.

    Raises:
        ConfigError: for values out of range.
    """
    from ganvas.data import ImageData

    node = checked.config["dataset"]
    kept = {k: v for k, v in node.items() if k not in DATA_ONLY_IN_SOURCE}
    source = built(node["source"], "dataset.source")
    check_source(source)
    return ImageData(source, cache_dir=checked.settings.paths.cache_dir, **kept)


def check_groups(checked: Checked) -> None:
    """Keys, types and targets of every node with a `_target_`, and the model's groups.

    Raises:
        ConfigError: all faults of one node, one line each.
    """
    config, trust = checked.config, checked.trust
    for group, node in config.items():
        if not isinstance(node, dict) or group in NOT_NODES:
            continue
        check_node(node, key=group, trust=trust, given=FACTS if group in MODEL_GROUPS else ())
    if schedule := config["trainer"].get("lr_schedule"):
        check_node(schedule, key="trainer.lr_schedule", trust=trust)
    check_dataset(config["dataset"], trust)
    target = locate(config["model"].get("_target_", ""), key="model._target_", trust=trust)
    parameters = parameters_of(target)
    _check_pairs(checked, parameters)
    given = [g for g in (*MODEL_GROUPS, *FACTS) if g in parameters]
    check_node(config["model"], key="model", trust=trust, given=given)


def _check_pairs(checked: Checked, parameters: Mapping[str, inspect.Parameter]) -> None:
    model = checked.choices.get("model", "this model")
    for group in MODEL_GROUPS:
        there = checked.config.get(group) is not None
        if there and group not in parameters:
            chosen = checked.choices.get(group, group)
            raise ConfigError(
                f"{group}={chosen}: model={model} takes no {group}; leave {group}= out, "
                f"or choose a model that does"
            )
        if not there and group in parameters and parameters[group].default is inspect._empty:
            raise ConfigError(f"{group}: model={model} needs one; choose {group}=…")


def model_class(checked: Checked) -> Any:
    """The class that `model._target_` names."""
    return locate(checked.config["model"]["_target_"], key="model._target_", trust=checked.trust)


def build_model(checked: Checked, data: ImageData, *, restoring: bool = False) -> GenerativeModule:
    """The model with everything it takes injected, on the current default device.

    `restoring` says that a checkpoint will bring all weights, those of features included.

    Raises:
        ConfigError: where a constructor refuses a value, or a group does not fit the model.
    """
    node = checked.config["model"]
    target = locate(node["_target_"], key="model._target_", trust=checked.trust)
    parameters = parameters_of(target)
    injected = facts_for(target, data, stated=node)
    for group in MODEL_GROUPS:
        if group in parameters and checked.config.get(group) is not None:
            injected[group] = _build_group(checked, group, data, restoring=restoring)
    groups = {name: part for name, part in injected.items() if name in MODEL_GROUPS}
    try:
        own = {k: instantiate(v) for k, v in node.items() if k != "_target_"}
        hints = argument_hints(target)
        nodes = {
            k: part
            for k, part in own.items()
            if asks_for_part(hints.get(k)) or (isinstance(node[k], dict) and "_target_" in node[k])
        }
        check_roles(checked, target, groups=groups, nodes=nodes)
        return target(**own, **injected)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"model={checked.choices.get('model', '?')}: {error}") from error


def facts_for(
    target: Callable[..., Any], data: ImageData, *, stated: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of `FACTS` that the constructor names; read from the files where only they can tell.

    What the config states itself is left alone, and so is a default where the data don't know.
    """
    parameters = parameters_of(target)
    wanted = [fact for fact in FACTS if fact in parameters and fact not in stated]
    known = {"num_classes": data.source.num_classes, "num_train": data.num_train}
    if any(known.get(name, 0) is None for name in wanted):
        data.prepare()
    facts = {
        "image_shape": tuple(data.image_shape),
        "num_classes": data.num_classes,
        "num_train": data.num_train,
    }
    return {
        name: facts[name]
        for name in wanted
        if facts[name] is not None or parameters[name].default is inspect._empty
    }


def _build_group(checked: Checked, group: str, data: ImageData, *, restoring: bool) -> Any:
    node = checked.config[group]
    if "_target_" in node and not node.get("_partial_"):
        target = locate(node["_target_"], key=f"{group}._target_", trust=checked.trust)
        node = {**node, **facts_for(target, data, stated=node)}
    if group != "features":
        return built(node, group)
    from ganvas.engine.features import build_features

    paths = None if restoring else checked.settings.paths
    return build_features(partial(built, node, group), data, paths=paths)


def built(node: Any, group: str) -> Any:
    """What a checked node, or parts by name, stands for; faults begin with `group`."""
    if isinstance(node, dict) and "_target_" not in node:
        return {name: built(part, f"{group}.{name}") for name, part in node.items()}
    try:
        return instantiate(node)
    except ConfigError:
        raise
    except ValueError as error:
        text = str(error)
        if isinstance(node, dict) and text.partition(" ")[0] in node:  # it begins with a key
            raise ConfigError(f"{group}.{text}") from error
        raise ConfigError(text if text.startswith(group) else f"{group}: {text}") from error


def build_callbacks(checked: Checked) -> list[Any]:
    """The user's callbacks; a null entry switches one off.

    The global random state is as before: networks inside them may draw their weights from it.

    Raises:
        ConfigError: where a constructor refuses a value.
    """
    import torch
    from pytorch_lightning import Callback

    nodes = checked.config.get("callbacks") or {}
    with torch.random.fork_rng(devices=[]):
        return [_of_kind(Callback, v, f"callbacks.{k}") for k, v in nodes.items() if v is not None]


def build_logger(checked: Checked) -> Any:
    """The tracker of the `logger` group.

    Raises:
        ConfigError: where its constructor refuses a value.
    """
    from ganvas.tracking import Tracker

    return _of_kind(Tracker, checked.config["logger"], "logger")


def build_schedule(checked: Checked) -> Schedule | None:
    """The learning rate's factor by step, if the trainer has one.

    Raises:
        ConfigError: if it is no schedule, or its constructor refuses a value.
    """
    node = checked.settings.trainer.lr_schedule
    if node is None:
        return None
    schedule = built(node, "trainer.lr_schedule")
    if not callable(schedule) or not isinstance(_tried(schedule), float | int):
        raise ConfigError(
            "trainer.lr_schedule: must name a schedule by _target_, such as "
            f"ganvas.schedules.CosineSchedule, got {type(schedule).__name__}"
        )
    return schedule


def _tried(schedule: Schedule) -> object:
    try:
        return schedule(0)
    except TypeError:  # it takes something else than a step
        return None


def _of_kind(kind: type, node: Any, key: str) -> Any:
    found = built(node, key)
    if not isinstance(found, kind):
        raise ConfigError(
            f"{key}: must name a {kind.__name__} by _target_, got {type(found).__name__}"
        )
    return found
