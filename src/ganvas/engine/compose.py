"""Hydra's composition, with its errors turned into the rule, the value got and the remedy.

Nothing here imports torch: a misspelt key must be refused at once and leave nothing behind.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ganvas.engine.grammar import first_line, syntax
from ganvas.errors import ConfigError
from ganvas.paths import config_dir

RESERVED = frozenset({"hydra"})

_SHOWN = 300  # characters of what a parser says

COMPOSABLE = ("callbacks", "metrics", "penalty")
"""Groups of parts by name, of which several options may be chosen."""


@dataclass(frozen=True)
class Composed:
    """One composed job.

    Attributes:
        config: all groups, interpolations not yet resolved, without Hydra's own node.
        choices: chosen option by group, e.g. `{"model": "vae"}`; of a group that is also used at
            another place, `{"loss@model.adversarial": "minimax"}`.
        overrides: as typed.
        hydra: Hydra's `launcher` and `sweeper`, and the `dir` of a sweep.
    """

    config: DictConfig
    choices: dict[str, str]
    overrides: list[str]
    hydra: dict[str, Any] = field(default_factory=dict)


def compose(
    overrides: Sequence[str], *, name: str = "train", search: Sequence[str | Path] = ()
) -> Composed:
    """Compose `conf/<name>.yaml` with overrides.

    Args:
        overrides: in Hydra's grammar.
        name: the primary config.
        search: more folders with groups (`--config-dir`).

    Raises:
        ConfigError: for an unknown key or option, a syntax error, a broken interpolation.
    """
    _check_lists(overrides, search, name)
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    extra = [_search_path(search)] if search else []
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
            full = hydra_compose(name, [*extra, *overrides], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explain(error, list(overrides), name, search)) from error
    except yaml.YAMLError as error:  # of a file of `--config-dir`
        told = " ".join(str(error).split())
        raise ConfigError(f"--config-dir: a file there is no YAML: {told[:_SHOWN]}") from error
    _check_hydra(full.hydra)
    choices = {
        group: option
        for group, option in full.hydra.runtime.choices.items()
        if option and not group.startswith("hydra/")
    }
    with_hydra = OmegaConf.to_container(full, resolve=False)
    assert isinstance(with_hydra, dict)
    plain = {key: value for key, value in with_hydra.items() if key not in RESERVED}
    config = OmegaConf.create(plain)
    parts = ("launcher", "sweeper")
    hydra = {part: OmegaConf.to_container(full.hydra[part], resolve=True) for part in parts}
    hydra["dir"] = str(full.hydra.sweep.dir)
    return Composed(config, choices, list(overrides), hydra)


def _check_lists(overrides: Sequence[str], search: Sequence[str | Path], name: str) -> None:
    """Hydra merges a list of options key by key, and the last one would win without a word.

    Raises:
        ConfigError: for several options of a group of which there is one, or one chosen twice.
    """
    for override in overrides:
        match = re.fullmatch(r"\+*(([\w/]+)(?:@[\w.]+)?)=\[(.*)\]", override.replace(" ", ""))
        if match is None or not options(match[2], search=search):
            continue
        key, group, chosen = match[1], match[2], match[3].split(",")
        if group not in COMPOSABLE:
            each = f"; -m {key}={match[3]} trains one run for each" if name == "train" else ""
            raise ConfigError(f"{key}=[{match[3]}]: takes one {group}, not a list{each}")
        for part in chosen:
            if chosen.count(part) > 1 or (part == "none" and len(chosen) > 1):
                remedy = "leave it out" if part == "none" else "name it once"
                raise ConfigError(f"{key}=[{match[3]}]: `{part}` does nothing there; {remedy}")


def _check_hydra(node: DictConfig) -> None:
    """Hydra builds parts of its own node, so nothing there may name other code.

    Raises:
        ConfigError: for a callback, or a launcher or sweeper that is no plugin.
    """
    if node.callbacks:
        raise ConfigError("hydra.callbacks: not used; give callbacks under `callbacks`")
    for part in ("launcher", "sweeper"):
        path = str(node[part].get("_target_"))
        if not path.startswith(("hydra._internal.core_plugins.", "hydra_plugins.")):
            raise ConfigError(f"hydra.{part}._target_: must be a plugin of Hydra, got `{path}`")
    for part in ("hydra_logging", "job_logging"):
        if "()" in str(node[part]):
            raise ConfigError(f"hydra.{part}: may not name code by `()`")


def _search_path(search: Sequence[str | Path]) -> str:
    return "hydra.searchpath=[" + ",".join(f"'file://{Path(p).resolve()}'" for p in search) + "]"


def resolve(config: DictConfig) -> dict[str, Any]:
    """The config as plain containers, every interpolation resolved.

    Raises:
        ConfigError: for a missing value or an interpolation to nowhere.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def suggest(word: str, known: Sequence[str]) -> str:
    """`; did you mean "beta"?`, or the known names where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; there are: {', '.join(sorted(set(known)))}" if known else ""


def options(group: str, *, search: Sequence[str | Path] = ()) -> list[str]:
    """Names of a config group's files; those with a leading underscore are shared parts."""
    folders = [config_dir() / group, *(Path(p) / group for p in search)]
    return sorted(
        path.stem
        for folder in folders
        if folder.is_dir()
        for path in folder.glob("*.yaml")
        if not path.stem.startswith("_")
    )


def _explain(
    error: Exception, overrides: list[str], name: str, search: Sequence[str | Path]
) -> str:
    from hydra.core.override_parser.overrides_parser import OverrideParseException

    text = str(error)
    if isinstance(error, OverrideParseException):
        return syntax(error)
    if match := re.match(r"Ambiguous value for argument '([^=]*)=(.*)'", text):
        single = options(match[1].partition("@")[0]) and match[1] not in COMPOSABLE
        rule = "several values need -m, which trains one run for each"
        rule = rule if name == "train" else "takes one value, not several"
        listed = "" if single else f"; a list is written {match[1]}=[{match[2]}]"
        return f"{match[1]}={match[2]}: {rule}{listed}"
    if text.startswith(("Config group override must be", "You must specify '")):
        return _group_value(overrides, text, search)
    if match := re.search(r"Could not override '([^']*)'", text):
        return _refused_override(match[1], error, overrides, name, search)
    if match := re.search(r"Could not (?:find|load) '([^']+)/([^'/]*)'", text):
        known = options(match[1].lstrip("/"), search=search)
        group = match[1].lstrip("/")
        return f"{group}={match[2]}: no such {group}{suggest(match[2], known)}"
    return first_line(error)


def _group_value(overrides: list[str], text: str, search: Sequence[str | Path]) -> str:
    """`loss=null` and `trainer=3`: a group is chosen by an option's name; or one is missing."""
    if match := re.match(r"You must specify '([\w/]+)'", text):
        known = options(match[1], search=search)
        return f"{match[1]}: a choice is required; there are: {', '.join(known)}"
    if any(override.startswith("=") for override in overrides):
        return "`=`: a key is missing before the equals sign"
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        known = options(group) if group else []
        if known and re.fullmatch(r"null|true|false|[-+.\deE]*", value):
            return f"{group}={value}: not the name of a {group}{suggest(value, known)}"
    return "a config group takes the name of one of its options"


def _refused_override(
    typed: str, error: Exception, overrides: list[str], name: str, search: Sequence[str | Path]
) -> str:
    if not typed:
        return "`=`: a key is missing before the equals sign"
    group = typed.partition(".")[0]
    absent = "No match in the defaults list" in str(error)
    absent |= "." in typed and f"Key '{group}' is not in struct" in str(error.__cause__)
    if name == "train" and absent and options(group, search=search):
        return _absent_group(typed, overrides, name, search)
    deeper = re.search(r"full_key: (\S+)", str(error.__cause__))
    return _unknown_key(typed, deeper[1] if deeper else typed, overrides, name, search)


def _unknown_key(
    typed: str, key: str, overrides: list[str], name: str, search: Sequence[str | Path]
) -> str:
    """`key` (under the `typed` one) is not in the config; the nearest that is."""
    kept = _without(overrides, typed)
    if len(kept) == len(overrides):
        return f"`{key}`: no such key"
    composed = compose(kept, name=name, search=search)
    if placed := [choice for choice in composed.choices if choice.startswith(f"{key}@")]:
        return f"`{key}`: no such key; did you mean `{placed[0]}`?"
    root = OmegaConf.merge(composed.config, {"hydra": composed.hydra})
    assert isinstance(root, DictConfig)
    node: Any = root
    *parents, last = key.split("@", maxsplit=1)[0].split(".")
    for depth, part in enumerate(parents):
        if not isinstance(node, DictConfig) or part not in node:
            last = part
            parents = parents[:depth]
            break
        node = node._get_node(part)
    keys = [str(k) for k in node] if isinstance(node, DictConfig) else []
    keys = [k for k in keys if not k.startswith("_")]
    if not parents and name == "train":
        keys += [p.name for p in config_dir().iterdir() if p.is_dir()]
    group = ".".join(parents)
    if group in COMPOSABLE and last in options(group, search=search):
        several = ",".join([*keys, last]) if keys else last
        chosen = f"[{several}]" if keys else several
        return f"`{key}`: {group}={last} is not chosen; add {group}={chosen}"
    hint = suggest(last, keys)
    if "did you mean" not in hint:
        elsewhere = [p for p in _key_paths(root) if p.rsplit(".", 1)[-1] == last]
        if elsewhere:
            hint = f"; did you mean `{elsewhere[0]}`?"
        elif isinstance(node, DictConfig) and "_target_" in node and typed.endswith(f".{last}"):
            hint += f"; an argument that the YAML leaves out is added with +{key}=…"
    return f"`{key}`: no such key{hint}"


def _absent_group(key: str, overrides: list[str], name: str, search: Sequence[str | Path]) -> str:
    """`likelihood=bernoulli` where the model brings no likelihood that it could replace."""
    kept = _without(overrides, key)
    typed = next(o for o in overrides if o not in kept)
    model = compose(kept, name=name, search=search).choices.get("model", "this model")
    group = key.partition(".")[0]
    added = typed if group == key else f"{group}=…"
    return (
        f"{typed}: model={model} brings no {group}; leave it out, choose a model that does, or, "
        f"where the model takes one, add it with +{added}"
    )


def _without(overrides: list[str], key: str) -> list[str]:
    return [o for o in overrides if o.lstrip("+~").split("=")[0] != key]


def _key_paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        path = f"{prefix}{key!s}"
        yield path
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            yield from _key_paths(child, f"{path}.")
