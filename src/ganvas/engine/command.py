"""Overrides of the small commands, composed and checked like those of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ganvas.engine.compose import compose, resolve
from ganvas.engine.settings import Section, validate

S = TypeVar("S", bound=Section)


def command_settings(section: type[S], name: str, run: str, overrides: Sequence[str]) -> S:
    """`conf/<name>.yaml` with overrides and the run's folder (any characters), as a `section`.

    Raises:
        ConfigError: for an unknown key, a wrong type or a value out of range.
    """
    config = compose(overrides, name=name).config
    config.run = run
    return validate(section, resolve(config))
