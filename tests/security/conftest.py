"""Fixtures of the security tests: the engine's, and what shows whether code ran."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
sys.path.insert(0, str(Path(__file__).parents[1] / "proof"))

from engine_helpers import (
    ae_run,
    fresh_modules,
    gan_run,
    place,
    vae_copy,
    vae_run,
)
from payloads import Canary

__all__ = ["ae_run", "canary", "fresh_modules", "gan_run", "place", "vae_copy", "vae_run"]


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    """A file that only a payload makes."""
    return Canary(tmp_path / "canary")
