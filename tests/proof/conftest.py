"""Fixtures of the tests of proofs."""

from exporting import copied, elsewhere, exported, made, run
from reproducing import as_proved, proved

__all__ = ["as_proved", "copied", "elsewhere", "exported", "made", "proved", "run"]
