"""What a `_target_` may name, and whether its arguments fit.

Not a list of prefixes (a function under `torch.` can run a shell command) but a check of the
resolved object: a class of a kind that experiments are made of (`allowed`), or anything that a
module trusted on the command line or by `GANVAS_TRUST` defines itself.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ganvas.engine.allowed import is_allowed
from ganvas.engine.compose import suggest
from ganvas.engine.fits import type_faults
from ganvas.engine.signatures import PLAIN_PACKAGES, argument_hints, parameters_of
from ganvas.engine.values import brief
from ganvas.errors import ConfigError

INSTANTIATE_KEYS = frozenset({"_target_", "_partial_", "_recursive_", "_convert_"})

_NOT_ALLOWED = (
    "may not be used as a _target_: it must be a class of a network, optimizer, callback, logger, "
    "metric or data set, or defined in a trusted module"
)


def trusted_modules(extra: Sequence[str]) -> tuple[str, ...]:
    """Modules that `_target_` may name besides the known packages; never read from a run."""
    listed = os.environ.get("GANVAS_TRUST", "").split(",")
    return tuple(dict.fromkeys(m.strip() for m in (*extra, *listed) if m.strip()))


def locate(path: Any, *, key: str, trust: Sequence[str]) -> Callable[..., Any]:
    """The object that `path` names.

    Raises:
        ConfigError: if it is of no trusted package, does not exist, or is of no allowed kind.
    """
    if not isinstance(path, str) or not path:
        raise ConfigError(f"{key}: must be the dotted path of a class, got {brief(path)}")
    root = path.split(".", maxsplit=1)[0]
    own = next((t for t in trust if path == t or path.startswith(f"{t}.")), None)
    if own is None and root in sys.stdlib_module_names:
        raise ConfigError(f"{key}: `{path}` {_NOT_ALLOWED}")
    if own is None and root not in PLAIN_PACKAGES and root != "ganvas":
        raise ConfigError(
            f"{key}: `{path}` is of no trusted module; where it is your own code, "
            f"add trust=[{root}] (or set GANVAS_TRUST={root})"
        )
    if own is not None and "" not in sys.path:
        sys.path.insert(0, "")  # a trusted module may lie in the working folder
    found = import_object(path, key=key)
    if own is not None:
        allowed = callable(found) and _defined_in(found, own)
    else:
        allowed = is_allowed(found) if inspect.isclass(found) else _names_a_data_set(found)
    if not allowed:
        raise ConfigError(f"{key}: `{path}` {_NOT_ALLOWED}")
    return typing.cast("Callable[..., Any]", found)


FORMER = {
    "ganvas.callbacks.sample_quality.SampleQuality": (
        "measures have names now; in the place of `metrics: {_target_: …}` write "
        "`metrics: {samples: {_target_: ganvas.evaluation.samples.SampleMeasure}}`"
    )
}
"""What earlier versions wrote into a run's config and is no more, with the remedy."""


def import_object(path: str, *, key: str) -> Any:
    """The public object at a dotted path, allowed or not.

    Raises:
        ConfigError: if there is none.
    """
    parts = path.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        raise ConfigError(f"{key}: `{path}` is not the dotted path of a public class")
    if path in FORMER:
        raise ConfigError(f"{key}: `{path}` is of an earlier version: {FORMER[path]}")
    found: Any = None
    for depth in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:depth])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(f"{error.name}.")):
                continue
            raise
        rest = parts[depth:]
        break
    else:
        raise ConfigError(f"{key}: no module named `{parts[0]}`, got `{path}`")
    for part in rest:
        known = [name for name in vars(found) if not name.startswith("_")]
        if part not in vars(found):
            raise ConfigError(f"{key}: `{path}` does not exist{suggest(part, known)}")
        found = vars(found)[part]
    return found


def _defined_in(found: Any, package: str) -> bool:
    module = getattr(found, "__module__", None) or ""
    return module == package or module.startswith(f"{package}.")


def _names_a_data_set(found: Any) -> bool:
    """Our functions that name a torchvision data set."""
    return inspect.isfunction(found) and found.__module__ == "ganvas.data.sources.torchvision_sets"


def check_node(node: Any, *, key: str, trust: Sequence[str], given: Sequence[str] = ()) -> None:
    """Check every `_target_` under `node`: what it names, and that its arguments fit.

    Args:
        node: plain containers.
        key: where the node stands in the config.
        trust: trusted modules.
        given: arguments that the engine adds to the outermost target.

    Raises:
        ConfigError: all faults found, one line each.
    """
    faults: list[str] = []
    for path, child in _targets(node, key):
        try:
            target = locate(child["_target_"], key=f"{path}._target_", trust=trust)
            check_arguments(target, child, key=path, given=given if path == key else ())
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))


def _targets(node: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from _targets(child, f"{key}.{name}")
    elif isinstance(node, list | tuple):
        for i, child in enumerate(node):
            yield from _targets(child, f"{key}.{i}")


def check_arguments(
    target: Callable[..., Any], node: Mapping[str, Any], *, key: str, given: Sequence[str] = ()
) -> None:
    """Names and types of `node`'s arguments against the signature of `target`.

    A partial or an engine-made object may lack arguments; none may be unknown.
    """
    arguments = {k: v for k, v in node.items() if k not in INSTANTIATE_KEYS}
    try:
        parameters = parameters_of(target)
    except ValueError:  # a C type tells nothing
        return
    named = {
        n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    faults = [
        f"{key}.{name}: must be true or false, got {brief(node[name])}"
        for name in ("_partial_", "_recursive_")
        if not isinstance(node.get(name, False), bool)
    ]
    if "_args_" in arguments:
        faults.append(f"`{key}._args_`: give arguments by name")
        del arguments["_args_"]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        offered = [n for n in named if n not in given]
        faults += [
            f"`{key}.{name}`: no such key{suggest(name, offered)}"
            for name in arguments
            if name not in named
        ]
    if not node.get("_partial_"):
        faults += [
            f"`{key}.{n}`: a value is required"
            for n, p in named.items()
            if p.default is p.empty and n not in arguments and n not in given
        ]
    hints = argument_hints(target)
    for name, value in arguments.items():
        if name in hints and name in named:
            faults += type_faults(hints[name], value, key=f"{key}.{name}")
    if faults:
        raise ConfigError("\n".join(faults))
