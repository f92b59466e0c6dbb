"""Whether a node's value fits the type that an argument's hint asks for."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from ganvas.engine.settings import explain
from ganvas.engine.values import brief

_PLAIN = (bool, int, float, str, type(None), list, tuple, dict, Sequence, Mapping, typing.Literal)


def type_faults(hint: Any, value: Any, *, key: str) -> list[str]:
    """One line where a value does not fit its hint; what can't be told is left to the class."""
    if _asks_for_factory(hint):
        if value is None and _plain_part(hint) is not type(None):
            return [f"{key}: must be a factory, {{_target_: …, _partial_: true}}, got null"]
        return _factory_fault(value, key=key)
    if _is_node(value):
        fits = any(_origin(part) not in _PLAIN for part in _parts(hint))  # a class tells itself
        return [] if fits else [f"{key}: takes {_words(hint)}, got {_name(value)}"]
    if isinstance(value, list) and _holds_node(value):
        return _item_faults(hint, value, key=key)
    if isinstance(value, Mapping) and _holds_node(value):
        fits = any(_open(p) or _origin(p) in (dict, Mapping) for p in map(_untyped, _parts(hint)))
        return [] if fits else [f"{key}: takes {_words(hint)}, got a mapping"]
    hint = _plain_part(hint)
    return [] if hint is None or _holds_node(value) else _plain_faults(hint, value, key=key)


def _item_faults(hint: Any, value: list[Any], *, key: str) -> list[str]:
    """Of a list with nodes in it."""
    sequences = [part for part in _parts(hint) if _origin(part) in (list, tuple, Sequence)]
    if not sequences:
        fits = any(map(_open, _parts(hint)))
        return [] if fits else [f"{key}: takes {_words(hint)}, got a list"]
    inner = [arg for part in sequences for arg in typing.get_args(part) if arg is not ...]
    if not inner:
        return []
    item: Any = typing.Union[tuple(inner)]  # noqa: UP007
    faults = [type_faults(item, child, key=f"{key}.{i}") for i, child in enumerate(value)]
    return [line for lines in faults for line in lines]


def _plain_faults(hint: Any, value: Any, *, key: str) -> list[str]:
    config = ConfigDict(arbitrary_types_allowed=True, strict=True, allow_inf_nan=False)
    adapter = TypeAdapter(hint, config=config)
    try:
        if isinstance(value, list | dict):  # as JSON, where a list may become a tuple
            adapter.validate_json(json.dumps(value))
        else:
            adapter.validate_python(value)
    except ValidationError as error:
        return [explain(error, prefix=key, known={})]
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return []
    return []


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _holds_node(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _is_node(value) or any(_holds_node(child) for child in value.values())
    return isinstance(value, list | tuple) and any(map(_holds_node, value))


def _parts(hint: Any) -> list[Any]:
    """The members of a union; else the hint alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for member in typing.get_args(hint) for part in _parts(member)]
    return [hint]


def _untyped(part: Any) -> Any:
    """`dict` for a `TypedDict`."""
    return dict if typing.is_typeddict(part) else part


def _origin(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


def _open(part: Any) -> bool:
    """Whether nothing can be told of what fits: neither plain, nor a class, nor a function."""
    known = _origin(part) in (*_PLAIN, Callable) or inspect.isclass(part)
    return part is Any or not known


def _words(hint: Any) -> str:
    """A hint as an error names it: `float or Schedule`."""
    names = [
        "null" if part is type(None) else getattr(part, "__name__", str(part).split(".")[-1])
        for part in _parts(hint)
    ]
    return " or ".join(dict.fromkeys(names))


def _name(node: Mapping[str, Any]) -> str:
    made = "a factory of " if node.get("_partial_") else ""
    return f"{made}{brief(node['_target_'])}"


def _asks_for_factory(hint: Any) -> bool:
    """`Callable[..., Module]`, perhaps `| None`: not a function of tensors or of numbers."""
    parts = typing.get_args(hint) if _plain_part(hint) is type(None) else [hint]
    made = [typing.get_args(p)[-1:] for p in parts if typing.get_origin(p) is Callable]
    return any(inspect.isclass(m) and m.__name__ in ("Module", "Optimizer") for (m,) in made)


def _factory_fault(value: Any, *, key: str) -> list[str]:
    """One line where a value can't be called to make a layer, an optimiser or a model."""
    if isinstance(value, Mapping) and "_target_" in value and not value.get("_partial_"):
        return [f"{key}: must be a factory; add +{key}._partial_=true"]
    if isinstance(value, str | int | float | list | Mapping) and not _is_node(value):
        return [f"{key}: must be a factory, {{_target_: …, _partial_: true}}, got {brief(value)}"]
    return []


def _plain_part(hint: Any) -> Any:
    """The part of a hint that YAML can hold: `float` of `float | Schedule`; None where none is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kept = [part for part in map(_plain_part, typing.get_args(hint)) if part is not None]
        return typing.Union[tuple(kept)] if kept else None  # noqa: UP007
    origin = typing.get_origin(hint) or hint
    return hint if origin in _PLAIN else None
