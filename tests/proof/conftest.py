"""Fixtures of the tests of proofs."""

from exporting import copied, elsewhere, exported, made, run

__all__ = ["copied", "elsewhere", "exported", "made", "run"]
