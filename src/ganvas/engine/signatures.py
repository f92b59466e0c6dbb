"""What a class or function takes: names and type hints of its arguments."""

from __future__ import annotations

import builtins
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

PLAIN_PACKAGES = frozenset({"torch", "torchvision", "torchmetrics", "pytorch_lightning"})


def parameters_of(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments of a function or class.

    A class outside the plain packages that hands `**rest` on to the next `__init__` of its method
    resolution order takes what that one takes, too.

    Raises:
        ValueError: for a C type, which tells nothing.
    """
    found: dict[str, inspect.Parameter] = {}
    for function in _functions(target):
        own = dict(list(inspect.signature(function).parameters.items())[1:])
        found = {**own, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            return {n: p for n, p in found.items() if p.kind is not p.VAR_KEYWORD}
    return found or inspect.signature(target).parameters


def _functions(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The `__init__`s of a class of ours or a user's, the first one first; of others, none."""
    if not inspect.isclass(target) or target.__module__.partition(".")[0] in PLAIN_PACKAGES:
        return []
    return [vars(c)["__init__"] for c in target.__mro__[:-1] if "__init__" in vars(c)]


def argument_hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Type hints by argument; those that can't be resolved at run time are left out."""
    functions = _functions(target) or [target.__init__ if inspect.isclass(target) else target]
    hints: dict[str, Any] = {}
    for function in functions:
        hints = {**_hints(function), **hints}
    return hints


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        scope = _Scope(vars(sys.modules[function.__module__]))
        hints = {}
        for name, hint in getattr(function, "__annotations__", {}).items():
            try:
                hints[name] = eval(hint, {}, scope) if isinstance(hint, str) else hint
            except (NameError, TypeError, AttributeError):
                continue
        return hints


class _Scope(dict[str, Any]):
    """A module's names; those that only type checkers see stand for anything."""

    def __missing__(self, name: str) -> Any:
        return vars(builtins).get(name, Any)
