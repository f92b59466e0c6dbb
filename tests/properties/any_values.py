"""Configs with one or two values exchanged for anything, and what becomes of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import strategies as st

from ganvas.engine.build import Checked
from ganvas.engine.check import check_build, check_plain
from ganvas.engine.compose import compose, resolve
from ganvas.errors import GanvasError, GanvasWarning

MODELS = ("vae", "dcgan", "vae_gan", "vq_vae", "factor_vae", "wgan_gp", "ac_gan", "ae", "info_vae")
TINY = (
    "dataset=digits",
    "trainer=cpu",
    "logger=none",
    "callbacks.images=null",
    *(f"paths.{name}_dir={name}" for name in ("runs", "data", "cache", "weights")),
)

Path = tuple[str, ...]


@cache
def composed(model: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The resolved config of a model on digits, and its choices."""
    found = compose([f"model={model}", *TINY])
    found.config.name = "mine"
    return resolve(found.config), found.choices


@cache
def keys(model: str) -> tuple[Path, ...]:
    """Every key of it, of groups and of what is in them."""
    return tuple(_keys(composed(model)[0], ()))


def _keys(node: dict[str, Any], before: Path) -> Iterator[Path]:
    for name, child in node.items():
        yield (*before, name)
        if isinstance(child, dict):
            yield from _keys(child, (*before, name))


NODES: list[dict[str, Any]] = [
    {"_target_": "torch.nn.ReLU"},
    {"_target_": "torch.nn.BatchNorm2d", "_partial_": True},
    {"_target_": "torch.nn.Linear"},
    {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1},
    {"_target_": "ganvas.schedules.ConstantSchedule", "value": 1.0},
    {"_target_": "ganvas.schedules.LinearSchedule", "start": 0, "end": 1, "steps": 5},
    {"_target_": "os.system", "command": "true"},
    {"_target_": None},
    {"_target_": "torch.nn.Tanh", "_partial_": "yes"},
    {"_partial_": True},
]
NUMBERS = [0, 1, -1, 2, 3, 8, 10**6, 10**9, 2**63, -(2**70), 10**400]
FRACTIONS = [0.0, -0.0, 0.5, 1.5, -2.5, 1e-320, 1e300, float("inf"), float("-inf"), float("nan")]
TEXTS = ["", " ", "x", "1", "1e400", "nan", "null", "ü😀", "\0", "a\nb", "???", "../..", "~"]
TEXTS += ["${oc.env:HOME}", "${seed}", "${", "x" * 20_000, "a/b", "torch.nn.ReLU", "best"]

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(-20, 20),
    st.sampled_from(FRACTIONS),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(max_size=8),
)
nodes = st.sampled_from(NODES).map(copy.deepcopy)
nested = st.recursive(
    plain | nodes,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=2)
    ),
    max_leaves=4,
)
values = plain | nodes | nested


def changed(model: str, changes: list[tuple[Path, Any]]) -> dict[str, Any]:
    """A copy of the config with other values; a change below another one is left out."""
    config = copy.deepcopy(composed(model)[0])
    for path, value in changes:
        node: Any = config
        for name in path[:-1]:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[path[-1]] = copy.deepcopy(value)
    return config


def outcome(model: str, changes: list[tuple[Path, Any]]) -> Checked | str:
    """The checked config, built on the meta device; or the refusal."""
    try:
        checked = check_plain(changed(model, changes), choices=composed(model)[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GanvasWarning)  # of what trains badly, but trains
            check_build(checked)
    except GanvasError as refusal:
        return str(refusal)
    return checked


def names(message: str, path: Path) -> bool:
    """Whether a refusal names the key, or the group that it is in."""
    return any(part.lower() in message.lower() for part in path)
