"""Whether the built parts are what the constructors ask for: impossible pairs are refused."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ganvas.engine.signatures import argument_hints, parameters_of
from ganvas.engine.values import brief
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

SHARED = ("network", "optimizer")
"""Groups of which a model inside a model gets a share."""


def check_roles(
    checked: Checked,
    target: Callable[..., Any],
    *,
    groups: Mapping[str, Any],
    nodes: Mapping[str, Any],
) -> None:
    """Each part is what the hint of the model's constructor asks for.

    Args:
        checked: the job.
        target: the model's class.
        groups: what the config groups built.
        nodes: what the nodes under `model` built. A factory of a model among them stands for a
            model inside the model, which is handed the groups too.

    Raises:
        ConfigError: an impossible pair, such as an adversarial loss on a VAE.
    """
    hints = argument_hints(target)
    model = f"model={checked.choices.get('model', 'this model')}"
    for name, part in {**groups, **nodes}.items():
        label = _label(checked, name, at="model." if name in nodes else "")
        if fault := _role_fault(part, hints.get(name)):
            raise ConfigError(f"{label} does not fit {model}: {fault}")
    for name, part in nodes.items():
        if isinstance(part, partial) and _is_model(part.func):
            _check_inner(checked, part, groups, key=f"model.{name}")


def asks_for_part(hint: Any) -> bool:
    """Whether a constructor's hint is a class of ours or a factory: no plain value will do."""
    ours = inspect.isclass(hint) and hint.__module__.startswith("ganvas.")
    return ours or typing.get_origin(hint) is Callable


def _check_inner(
    checked: Checked, factory: partial[Any], groups: Mapping[str, Any], *, key: str
) -> None:
    hints, parameters = argument_hints(factory.func), parameters_of(factory.func)
    name = factory.func.__name__
    for group, part in groups.items():
        label = _label(checked, group)
        if group not in parameters:
            raise ConfigError(f"{label}: the {name} of {key} takes no {group}; leave {group}= out")
        if group not in SHARED and (fault := _role_fault(part, hints.get(group))):
            raise ConfigError(f"{label} does not fit the {name} of {key}: {fault}")
    given = {*groups, *factory.keywords, "image_shape"}
    for argument, parameter in parameters.items():
        if parameter.default is parameter.empty and argument not in given:
            raise ConfigError(
                f"{key}: its {name} needs {argument}: add +{argument}=… for a group, or "
                f"+{key}.{argument}=… for a value"
            )


def _is_model(target: Any) -> bool:
    from ganvas.models.base import GenerativeModule

    return inspect.isclass(target) and issubclass(target, GenerativeModule)


def _label(checked: Checked, name: str, *, at: str = "") -> str:
    """`loss=mse` for a group, `loss@model.adversarial=mse` for a node that an option filled."""
    if not at:
        return f"{name}={checked.choices.get(name, name)}"
    chosen = [f"{g}={o}" for g, o in checked.choices.items() if g.endswith(f"@{at}{name}")]
    return chosen[0] if chosen else f"{at}{name}"


def _role_fault(value: Any, hint: Any) -> str | None:
    if typing.is_typeddict(hint):
        wanted = sorted(hint.__required_keys__)
        got = sorted(value) if isinstance(value, Mapping) else [type(value).__name__]
        if empty := [name for name in got if name in wanted and not callable(value[name])]:
            return f"{empty[0]} must name a network by _target_, got {brief(value[empty[0]])}"
        if wanted != got:
            return f"its parts must be {' and '.join(wanted)}, got {' and '.join(got)}"
    elif _can_be_told(hint) and not isinstance(value, hint):
        article = "an" if hint.__name__[0] in "AEIO" else "a"
        return f"{article} {hint.__name__} is needed, got {_kind(value)}"
    elif typing.get_origin(hint) is Mapping:
        return _mapping_fault(value, typing.get_args(hint)[1])
    elif typing.get_origin(hint) is Callable and not callable(value):
        several = isinstance(value, Mapping)
        rule = "a single one" if several else "a factory ({_target_: …, _partial_: true})"
        return f"{rule} is needed, got {', '.join(map(str, value)) if several else _kind(value)}"
    return None


def _mapping_fault(value: Any, hint: Any) -> str | None:
    """Of parts by name: one optimizer for each side, or any number of penalties."""
    if isinstance(value, Mapping) and (value or _can_be_told(hint)):
        return next((fault for part in value.values() if (fault := _role_fault(part, hint))), None)
    if _can_be_told(hint):
        kind = hint.__name__
        return f"each {kind} needs a name ({{mine: {{_target_: …}}}}), got a bare {_kind(value)}"
    got = "none" if value == {} else "a single one"
    return (
        f"one optimizer for each side is needed, got {got}; give it to one side by "
        "optimizer@optimizer.critic=…"
    )


def _can_be_told(hint: Any) -> bool:
    """Whether `isinstance` takes the hint: a class, and no protocol that only type checkers use."""
    static = getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", 0)
    return inspect.isclass(hint) and hint is not Any and not static


def _kind(value: Any) -> str:
    """The class of an object; None and text as they are."""
    return brief(value) if value is None or isinstance(value, str) else type(value).__name__
