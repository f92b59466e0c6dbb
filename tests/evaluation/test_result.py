"""Values are compared under one protocol only."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from ganvas.errors import ProtocolError
from ganvas.evaluation.result import Result, check_comparable, differing

ONE = Result(
    name="fd_classifier",
    split="test",
    value=12.0,
    uncertainty=0.3,
    checkpoint="best.ckpt",
    protocol={"weights": "3f17" * 16, "num": 2000, "layer": None},
    provenance={"run_seed": 0, "step": 100, "packages": {"ganvas": "0.1.0"}},
)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num", 1000, "num (2000 and 1000)"),
        ("weights", "9" * 64, "weights (3f173f173f17… and 999999999999…)"),
        ("resize", 299, "resize (None and 299)"),
        ("layer", "relu1", "layer (None and relu1)"),
    ],
)
def test_another_protocol_is_refused_by_its_fields(field: str, value: Any, told: str) -> None:
    other = replace(ONE, protocol={**ONE.protocol, field: value})
    with pytest.raises(ProtocolError) as raised:
        check_comparable([ONE, ONE, other])
    assert str(raised.value) == (
        f"fd_classifier was not measured alike: {told}; measure them again by one protocol "
        "(ganvas evaluate with the same options)"
    )
    with pytest.raises(ProtocolError):
        ONE.minus(other)


def test_all_differing_fields_are_named() -> None:
    other = replace(ONE, split="val", protocol={"num": 1})
    assert set(differing(ONE, other)) == {"split", "weights", "num"}
    assert differing(ONE, replace(ONE, name="kd")) == {"name": ("fd_classifier", "kd")}


def test_where_a_value_comes_from_never_blocks() -> None:
    newer: dict[str, Any] = {"run_seed": 7, "step": 5, "packages": {"ganvas": "9.9"}}
    other = replace(ONE, value=10.0, uncertainty=0.4, checkpoint="last.ckpt", provenance=newer)
    check_comparable([ONE, other])
    difference, error = ONE.minus(other)
    assert difference == 2.0
    assert error == pytest.approx(math.hypot(0.3, 0.4))
    assert ONE.minus(replace(other, uncertainty=None)) == (2.0, None)


def test_plain_containers_and_back() -> None:
    assert Result.from_dict(ONE.as_dict()) == ONE
    assert Result.from_dict(replace(ONE, uncertainty=None).as_dict()).uncertainty is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_value_is_lost_in_strict_json(value: float) -> None:
    text = json.dumps(replace(ONE, value=value, uncertainty=value).as_dict(), allow_nan=False)
    back = Result.from_dict(json.loads(text))
    assert str(back.value) == str(back.uncertainty) == str(value)
