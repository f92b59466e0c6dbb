"""A measured value with its identity, and which values may be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ganvas.errors import ProtocolError


@dataclass(frozen=True)
class Result:
    """One value as `ganvas evaluate` records it under `evaluations` in `run.json`.

    Attributes:
        name: of what was measured, e.g. "fd_classifier".
        split: "train", "val" or "test".
        value: the number.
        uncertainty: its standard error, where the estimator has one.
        checkpoint: file that the weights are from.
        protocol: what must be equal for two values to be compared.
        provenance: where the value comes from; shown, and never in the way of a comparison.
        higher_is_better: which of two values is the better one; None where neither is.
    """

    name: str
    split: str
    value: float
    uncertainty: float | None
    checkpoint: str
    protocol: Mapping[str, Any]
    provenance: Mapping[str, Any]
    higher_is_better: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain containers; NaN and infinities, which strict JSON lacks, as text."""
        numbers = {"value": self.value, "uncertainty": self.uncertainty}
        stored = {k: v if v is None or math.isfinite(v) else str(v) for k, v in numbers.items()}
        return {**asdict(self), **stored}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Result:
        """What `as_dict` gave."""
        error = stored["uncertainty"]
        numbers = {"value": float(stored["value"]), "uncertainty": error and float(error)}
        return cls(**{**stored, **numbers})

    def minus(self, other: Result) -> tuple[float, float | None]:
        """The difference of two comparable values, and its standard error if both have one.

        The errors are taken as independent: √(s₁² + s₂²).

        Raises:
            ProtocolError: if they are not comparable.
        """
        check_comparable([self, other])
        errors = [e for e in (self.uncertainty, other.uncertainty) if e is not None]
        spread = math.hypot(*errors) if len(errors) == 2 else None  # noqa: PLR2004
        return self.value - other.value, spread


def differing(a: Result, b: Result) -> dict[str, tuple[Any, Any]]:
    """Fields of the identity that differ, and their two values; a missing one is None.

    The identity is the name, the split and the protocol. Code versions, run seeds, steps and
    checkpoints are none of it.
    """
    first, second = ({"name": r.name, "split": r.split, **r.protocol} for r in (a, b))
    keys = dict.fromkeys([*first, *second])
    return {k: (first.get(k), second.get(k)) for k in keys if first.get(k) != second.get(k)}


def check_comparable(results: Sequence[Result]) -> None:
    """All have one identity.

    Raises:
        ProtocolError: with the fields in which they differ.
    """
    for other in results[1:]:
        if fields := differing(results[0], other):
            told = ", ".join(f"{k} ({_short(a)} and {_short(b)})" for k, (a, b) in fields.items())
            raise ProtocolError(
                f"{results[0].name} was not measured alike: {told}; measure them again by one "
                "protocol (ganvas evaluate with the same options)"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"  # noqa: PLR2004
