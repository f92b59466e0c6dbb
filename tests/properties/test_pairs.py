"""Every pair of a model with an option of another group builds, or is refused by our message."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from functools import cache
from typing import Any

import pytest
from any_values import TINY
from omegaconf import DictConfig, OmegaConf

from ganvas.engine.check import check_build, check_composed
from ganvas.engine.compose import Composed, compose, options
from ganvas.errors import GanvasError, GanvasWarning

GROUPS = (
    "loss", "dataset", "network", "penalty", "likelihood", "optimizer", "corruption",
    "generator_condition", "critic_condition",
)  # fmt: skip
PAIRS = [(m, g, o) for g in GROUPS for m in options("model") for o in options(g)]
EVERY_MODEL = 6
"""Of so many models the quick suite takes one: composing a model costs more than building it."""


def quick() -> list[tuple[str, str, str]]:
    """A share of the pairs: each option of each group once, with models by turns."""
    models = options("model")[::EVERY_MODEL]
    chosen = dict.fromkeys((group, option) for _, group, option in PAIRS)
    return [(models[i % len(models)], *pair) for i, pair in enumerate(chosen)]


@cache
def model_config(model: str) -> Composed:
    """A model on digits, by Hydra."""
    return compose([f"model={model}", *TINY])


@cache
def option_node(group: str, option: str) -> Any:
    """What an option puts into the config, unresolved, by Hydra's own composition."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from ganvas.paths import config_dir

    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        whole = hydra_compose(f"{group}/{option}")
    return OmegaConf.to_container(whole[group], resolve=False)


def transplanted(model: str, group: str, option: str) -> Composed:
    """The model's config with another option's node in its place; composing takes ten times so."""
    base = model_config(model)
    plain = OmegaConf.to_container(base.config, resolve=False)
    assert isinstance(plain, dict)
    plain[group] = copy.deepcopy(option_node(group, option))
    config = OmegaConf.create(plain)
    assert isinstance(config, DictConfig)
    return Composed(config, {**base.choices, group: option}, [])


def built(composed: Composed) -> str | None:
    """None where the pair builds on the meta device, else the refusal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GanvasWarning)  # of what trains badly, but trains
            check_build(check_composed(composed))
    except GanvasError as refusal:
        return str(refusal)
    return None


def told(refusal: str | None, model: str, group: str, option: str) -> str:
    """How a pair ended; a refusal is short and says what it is of."""
    if refusal is None:
        return "builds"
    words = (group, option, model, "loss", "network", "image")
    assert len(refusal.splitlines()) <= 8 and len(refusal) < 1500, refusal
    assert any(word in refusal for word in words), refusal
    return "refused"


def test_the_share_has_every_option() -> None:
    share = quick()
    assert len({m for m, _, _ in share}) > len(options("model")) // (EVERY_MODEL + 1)
    assert {(g, o) for _, g, o in share} == {(g, o) for _, g, o in PAIRS}


@pytest.mark.parametrize("group", GROUPS)
def test_a_share_of_the_pairs(group: str) -> None:
    ends = Counter(told(built(transplanted(m, g, o)), m, g, o) for m, g, o in quick() if g == group)
    assert ends["refused"]
    assert ends["builds"] or group not in ("loss", "dataset", "network", "optimizer")


def test_a_transplanted_pair_is_the_composed_one() -> None:
    """The short cut gives the config that Hydra composes."""
    for model, group, option in [("vae", "loss", "capacity"), ("dcgan", "network", "sngan")]:
        whole = compose([f"model={model}", *TINY, f"{group}={option}"])
        short = transplanted(model, group, option)
        assert check_composed(whole).config == check_composed(short).config


@pytest.mark.slow
@pytest.mark.parametrize(("model", "group"), sorted({(m, g) for m, g, _ in PAIRS}))
def test_every_pair(model: str, group: str) -> None:
    for option in options(group):
        present = group in model_config(model).config
        typed = f"{'' if present else '+'}{group}={option}"
        try:
            composed = compose([f"model={model}", *TINY, typed])
        except GanvasError as refusal:
            told(str(refusal), model, group, option)
            continue
        told(built(composed), model, group, option)
