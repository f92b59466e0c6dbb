"""What a search chooses from: Hydra's sweep grammar as parameters, and the corners of the space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.compose import options
from ganvas.engine.grammar import parse
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Value = str | int | float


@dataclass(frozen=True)
class Parameter:
    """One key that a search sets.

    A choice has `values` alone, an interval `low` and `high` (both may be taken), a range all.

    Attributes:
        key: as in an override, `+` included.
        text: what may be chosen, as typed.
        values: in the grammar of overrides, where they can be counted; else empty.
        low: least number; whole for whole numbers.
        high: greatest number.
        step: between two numbers of a range.
        log: sampled evenly in the logarithm.
    """

    key: str
    text: str
    values: tuple[str, ...] = ()
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        """What is checked before the search begins: each choice, both ends of the others."""
        if self.low is None:
            return self.values
        return tuple(dict.fromkeys(map(self.shown, (self.low, self.high or 0))))

    def shown(self, value: Value) -> str:
        """A sampled value in the grammar of overrides; one of a range exactly as typed."""
        if self.step is not None and self.low is not None:
            return self.values[round((float(value) - self.low) / self.step)]
        return str(value)

    def short(self, value: Value) -> str:
        """For people: four digits of a number from an interval."""
        if isinstance(value, float) and not self.values:
            return f"{value:.4g}"
        return self.shown(value)


@dataclass(frozen=True)
class Space:
    """What is the same in all trials, and what is searched.

    Attributes:
        fixed: overrides of every trial.
        parameters: in the order they were named.
    """

    fixed: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """Those of a trial, from its values by key."""
        found = [f"{p.key}={p.shown(values[p.key])}" for p in self.parameters]
        return [*self.fixed, *found]

    def label(self, values: Mapping[str, Value]) -> str:
        """What tells a trial from the others, for people."""
        return " ".join(f"{p.key.lstrip('+')}={p.short(values[p.key])}" for p in self.parameters)

    def corners(self) -> list[list[str]]:
        """The first end of all parameters, then each other end by itself."""
        first = {p.key: f"{p.key}={p.ends[0]}" for p in self.parameters}
        found = [first]
        for parameter in self.parameters:
            ends = parameter.ends[1:]
            found += [{**first, parameter.key: f"{parameter.key}={end}"} for end in ends]
        return [[*self.fixed, *corner.values()] for corner in found]


def parse_space(
    overrides: Sequence[str],
    params: Mapping[str, Any] | None = None,
    *,
    search: Sequence[str | Path] = (),
) -> Space:
    """The space that is typed and the one that stands in YAML; what is typed replaces.

    Args:
        overrides: as typed.
        params: `hydra.sweeper.params`.
        search: more folders with config groups.

    Raises:
        ConfigError: for a syntax error, an empty range or interval, a logarithm of 0 or less.
    """
    fixed: dict[str, str] = {}
    parameters: dict[str, Parameter] = {}
    for override in parse([*map(_written, *_columns(params or {})), *overrides]):
        name = override.get_key_element().lstrip("+~")
        fixed.pop(name, None)
        parameters.pop(name, None)
        if override.is_sweep_override():
            parameters[name] = _parameter(override, search)
        else:
            fixed[name] = str(override.input_line)
    return Space(tuple(fixed.values()), tuple(parameters.values()))


def _columns(params: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    return list(params), list(params.values())


def _written(key: str, value: Any) -> str:
    if isinstance(value, list | dict):
        raise ConfigError(
            f"hydra.sweeper.params.{key}: must be text in Hydra's sweep grammar, got {value!r}; "
            'write e.g. "choice(2, 8, 16)" or "interval(0.1, 10)"'
        )
    if isinstance(value, bool) or value is None:
        value = "null" if value is None else str(value).lower()
    return f"{key}={value}"


def _parameter(override: Override, search: Sequence[str | Path]) -> Parameter:
    key, text = override.get_key_element(), str(override.input_line).partition("=")[2].strip()
    typed = f"{key}={text}"
    if override.is_delete():
        raise ConfigError(f"{typed}: a search sets values; a key to be left out has none")
    log = _logarithmic(override, typed)
    if override.is_interval_sweep():
        return _interval(override, key, text, log=log)
    if override.is_range_sweep():
        return _range(override, key, text, log=log)
    if log:
        raise ConfigError(f"{typed}: choices have no logarithm; tag an interval or a range")
    values = _choices(override, search)
    if not values or len(set(values)) < len(values):
        raise ConfigError(f"{typed}: name each value once; got {', '.join(values) or 'none'}")
    return Parameter(key, text, values=values)


def _logarithmic(override: Override, typed: str) -> bool:
    tags = set(getattr(override.value(), "tags", ()))
    if tags - {"log"}:
        raise ConfigError(f"{typed}: the only tag is log, got {', '.join(sorted(tags - {'log'}))}")
    return bool(tags)


def _choices(override: Override, search: Sequence[str | Path]) -> tuple[str, ...]:
    from hydra.core.override_parser.types import Glob

    value: object = override.value()
    if isinstance(value, Glob):
        return tuple(value.filter(options(override.key_or_group, search=search)))
    return tuple(override.sweep_string_iterator())


def _interval(override: Override, key: str, text: str, *, log: bool) -> Parameter:
    from hydra.core.override_parser.types import IntervalSweep

    value = override.value()
    assert isinstance(value, IntervalSweep)
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(
            f"{key}={text}: an interval goes from a smaller to a larger number, got {low} to {high}"
        )
    _check_log(low, f"{key}={text}", log=log)
    return Parameter(key, text, low=low, high=high, log=log)


def _range(override: Override, key: str, text: str, *, log: bool) -> Parameter:
    from hydra.core.override_parser.types import RangeSweep

    value = override.value()
    assert isinstance(value, RangeSweep)
    if value.step == 0:
        raise ConfigError(f"{key}={text}: the step of a range can't be 0")
    # Hydra adds up steps: 0.1 + 0.2 is typed as 0.3 here
    numbers = sorted(n if isinstance(n, int) else float(f"{n:.12g}") for n in value.range())
    if not numbers:
        raise ConfigError(f"{key}={text}: there is no number in this range")
    texts = tuple(map(str, numbers))
    if len(numbers) == 1:
        return Parameter(key, text, values=texts)
    _check_log(numbers[0], f"{key}={text}", log=log)
    if log and value.step not in (1, -1):
        raise ConfigError(f"{key}={text}: a range with a logarithm has step 1, got {value.step}")
    step = abs(value.step)
    return Parameter(key, text, values=texts, low=numbers[0], high=numbers[-1], step=step, log=log)


def _check_log(low: float, typed: str, *, log: bool) -> None:
    if log and low <= 0:
        raise ConfigError(f"{typed}: a logarithm needs numbers above 0, got {low:g}")
