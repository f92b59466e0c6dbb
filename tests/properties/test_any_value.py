"""Any value in any key is accepted, and then builds, or is refused by a message that names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from any_values import MODELS, TINY, keys, names, outcome, values
from engine_helpers import ganvas
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ganvas.engine.compose import options

QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@st.composite
def changes(draw: st.DrawFn, models: tuple[str, ...], num: int) -> tuple[str, list[Any]]:
    """A model, and `num` of its keys with other values."""
    model = draw(st.sampled_from(models))
    picked = [draw(st.sampled_from(keys(model))) for _ in range(num)]
    return model, [(key, draw(values)) for key in picked]


@pytest.fixture(autouse=True, scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty working folder, in which all folders of the configs would lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


def said(case: tuple[str, list[Any]]) -> None:
    """It is accepted, or refused in few words that name a key that was changed; none is written."""
    model, changed = case
    note(f"{model}: {changed}")
    found = outcome(model, changed)
    if isinstance(found, str):
        assert any(names(found, key) for key, _ in changed), found
        assert len(found) < 3000 and "Traceback" not in found, found
    assert not list(Path().iterdir())


@settings(max_examples=60, **QUIET)
@given(changes(MODELS[:6], 1))
def test_any_value_in_any_key(case: tuple[str, list[Any]]) -> None:
    said(case)


@settings(max_examples=30, **QUIET)
@given(changes(MODELS[:3], 2))
def test_any_two_values(case: tuple[str, list[Any]]) -> None:
    said(case)


@pytest.mark.slow
@settings(max_examples=4000, **QUIET)
@given(changes(tuple(options("model")), 1))
def test_any_value_in_any_key_of_any_model(case: tuple[str, list[Any]]) -> None:
    said(case)


@pytest.mark.slow
@settings(max_examples=2000, **QUIET)
@given(changes(tuple(options("model")), 2))
def test_any_two_values_of_any_model(case: tuple[str, list[Any]]) -> None:
    said(case)


def test_a_check_on_the_command_line_writes_nothing() -> None:
    """Through the whole command, where it would make a run's folder."""
    for typed in (["check=true"], ["check=true", "seed=-3"], ["seed=-3"], ["model.latent_dim=x"]):
        code = ganvas("train", *TINY, *typed).code
        assert code == (0 if typed == ["check=true"] else 2)
        assert not list(Path().iterdir())
