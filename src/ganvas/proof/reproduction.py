"""What became of one original, in memory and as `reproduction.json`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.proof.comparison import Comparison
from ganvas.proof.conditions import Condition
from ganvas.proof.rerun import Reach
from ganvas.proof.verdict import Verdict
from ganvas.tracking.files import write_json

if TYPE_CHECKING:
    from ganvas.engine.train import Outcome
    from ganvas.proof.original import Original

REPORT = "reproduction.json"


@dataclass
class Reproduction:
    """What became of one original.

    Attributes:
        original: that was to be reproduced.
        folder: with the re-run, if there was one, and `reproduction.json`.
        reach: how far it was repeated.
        conditions: that were looked at.
        comparison: what was found.
        verdict: None where the re-run was interrupted or failed.
        tolerance: relative, of metrics.
        outcome: of the re-run; None where there was none.
    """

    original: Original
    tolerance: float
    folder: Path | None = None
    reach: Reach = field(default_factory=Reach)
    conditions: list[Condition] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    verdict: Verdict | None = None
    outcome: Outcome | None = None

    @property
    def exit_code(self) -> int:
        """Of the verdict; without one, of the re-run."""
        if self.verdict is not None:
            return self.verdict.exit_code
        return 1 if self.outcome is None else self.outcome.exit_code

    def as_dict(self) -> dict[str, Any]:
        """What `reproduction.json` holds; infinities and NaN as text."""
        first, verdict = self.comparison.first, self.verdict
        content = {
            "format_version": 1,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "original": {
                "source": self.original.source,
                "kind": self.original.kind,
                "folder": str(self.original.folder),
                "lacks": list(self.original.lacks),
            },
            "reproduction": None if self.outcome is None else str(self.outcome.folder),
            "steps": self.reach.last,
            "reach": self.reach.why or "all of the run",
            "tolerance": self.tolerance,
            "conditions": [asdict(condition) for condition in self.conditions],
            "comparison": [asdict(part) for part in self.comparison.parts],
            "first_difference": None if first is None else asdict(first),
            "metrics": [
                {**asdict(m), "difference": m.difference, "within": m.within}
                for m in self.comparison.moved
            ],
            "verdict": None if verdict is None else verdict.words,
            "text": verdict.text if verdict else self.outcome and self.outcome.reason,
            "exit_code": self.exit_code,
        }
        plain: dict[str, Any] = _storable(content)
        return plain

    def write(self) -> None:
        """Writes `reproduction.json` into its folder."""
        assert self.folder is not None
        write_json(self.folder / REPORT, self.as_dict())


def _storable(value: Any) -> Any:
    """Strict JSON has no NaN and no infinities."""
    if isinstance(value, dict):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
