"""Hydra's sweep grammar as a space: what is sampled, what is typed for it, and its corners."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ganvas.errors import ConfigError
from ganvas.sweep.search_space import parse_space
from ganvas.sweep.search_study import distribution, grid_of

CASES: dict[str, tuple[Any, list[str]]] = {
    "interval(0.5, 2)": (FloatDistribution(0.5, 2.0), ["0.5", "2.0"]),
    "tag(log, interval(1e-4, 1))": (FloatDistribution(1e-4, 1.0, log=True), ["0.0001", "1.0"]),
    "int(interval(2, 9))": (IntDistribution(2, 9), ["2", "9"]),
    "tag(log, int(interval(2, 9)))": (IntDistribution(2, 9, log=True), ["2", "9"]),
    "range(2, 9)": (IntDistribution(2, 8), ["2", "8"]),
    "range(9, 2, -3)": (IntDistribution(3, 9, step=3), ["3", "9"]),
    "range(0.1, 1.0, 0.2)": (FloatDistribution(0.1, 0.9, step=0.2), ["0.1", "0.9"]),
    "tag(log, range(1, 65))": (IntDistribution(1, 64, log=True), ["1", "64"]),
    "range(3, 4)": (CategoricalDistribution(("3",)), ["3"]),
    "choice(2, 8, 16)": (CategoricalDistribution(("2", "8", "16")), ["2", "8", "16"]),
    "vae,conv_vae": (CategoricalDistribution(("vae", "conv_vae")), ["vae", "conv_vae"]),
    "null,true,'a b'": (
        CategoricalDistribution(("null", "True", "'a b'")),
        ["null", "True", "'a b'"],
    ),
    "[1,2],[3]": (CategoricalDistribution(("[1,2]", "[3]")), ["[1,2]", "[3]"]),
}


@pytest.mark.parametrize("text", CASES)
def test_parameters(text: str) -> None:
    sampled, ends = CASES[text]
    (parameter,) = parse_space([f"a.b={text}"]).parameters
    assert distribution(parameter) == sampled
    assert list(parameter.ends) == ends
    assert parse_space([], {"a.b": text}).parameters == (parameter,)


def test_each_value_of_a_grid_is_typed_as_in_the_grammar() -> None:
    space = parse_space(["a=range(0.1,1.0,0.1)", "b=range(1,4)", "c=x,y"])
    grid = grid_of(space)
    for parameter in space.parameters:
        kind = distribution(parameter)
        assert all(kind._contains(kind.to_internal_repr(v)) for v in grid[parameter.key])
        assert tuple(map(parameter.shown, grid[parameter.key])) == parameter.values
    assert space.parameters[0].values == tuple(f"0.{k}" for k in range(1, 10))


def test_what_is_sampled_is_read_back_bit_for_bit() -> None:
    space = parse_space(["model=vae", "+a=interval(0,1)", "b=tag(log,interval(1e-9,1e9))"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask({p.key: distribution(p) for p in space.parameters})
        fixed, first, second = space.overrides(trial.params)
        assert fixed == "model=vae"
        assert first.startswith("+a=")
        assert [float(o.partition("=")[2]) for o in (first, second)] == [
            trial.params["+a"],
            trial.params["b"],
        ]


def test_corners_are_each_end_by_itself() -> None:
    space = parse_space(["s=1", "a=x,y,z", "b=interval(0,1)", "c=range(1,9)"])
    assert space.corners() == [
        ["s=1", "a=x", "b=0.0", "c=1"],
        ["s=1", "a=y", "b=0.0", "c=1"],
        ["s=1", "a=z", "b=0.0", "c=1"],
        ["s=1", "a=x", "b=1.0", "c=1"],
        ["s=1", "a=x", "b=0.0", "c=8"],
    ]


def test_what_is_typed_replaces_what_stands_in_yaml() -> None:
    params = {"a": "interval(0,1)", "b": "1,2", "c": 5, "d": None, "e": "x,y", "f": True}
    space = parse_space(["+a=3", "e=interval(0,1)", "g=2"], params)
    assert [p.key for p in space.parameters] == ["b", "e"]
    assert set(space.fixed) == {"c=5", "d=null", "+a=3", "f=true", "g=2"}
    assert space.parameters[1].low == 0


def test_labels_are_short_and_overrides_are_not() -> None:
    space = parse_space(["fixed=1", "+a=interval(0,1)", "b=range(0.1,0.9,0.2)", "c=vae,dcgan"])
    values = {"+a": 1 / 3, "b": 0.30000000000000004, "c": "vae"}
    assert space.label(values) == "a=0.3333 b=0.3 c=vae"
    assert space.overrides(values) == ["fixed=1", "+a=0.3333333333333333", "b=0.3", "c=vae"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=interval(1,1)", "from a smaller to a larger number, got 1.0 to 1.0"),
        ("a=interval(2,1)", "from a smaller to a larger number"),
        ("a=interval(0,inf)", "from a smaller to a larger number, got 0.0 to inf"),
        ("a=interval(nan,1)", "from a smaller to a larger number"),
        ("a=tag(log, interval(0,1))", "a logarithm needs numbers above 0, got 0"),
        ("a=tag(log, interval(-1,1))", "a logarithm needs numbers above 0, got -1"),
        ("a=tag(log, range(0,5))", "a logarithm needs numbers above 0, got 0"),
        ("a=tag(log, range(1,9,2))", "has step 1, got 2"),
        ("a=tag(log, choice(1,2))", "choices have no logarithm"),
        ("a=tag(lin, interval(1,2))", "the only tag is log, got lin"),
        ("a=range(3,3)", "no number in this range"),
        ("a=range(3,5,0)", "can't be 0"),
        ("a=1,2,1", "name each value once"),
        ("a=interval(1)", "not of the form key=value"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"a=.*") as caught:
        parse_space([text])
    assert message in str(caught.value)


def test_a_list_in_yaml_is_no_text_of_the_grammar() -> None:
    with pytest.raises(ConfigError, match=r"params.a: must be text .*got \[1, 2\]"):
        parse_space([], {"a": [1, 2]})


def test_a_glob_is_every_option_of_a_group() -> None:
    (parameter,) = parse_space(["likelihood=glob(*)"]).parameters
    assert "bernoulli" in parameter.values
    assert len(parameter.values) > 2
