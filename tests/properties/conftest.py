"""Fixtures of the properties: tiny runs of the engine's tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sweep"))

from engine_helpers import gan_run, vae_run

__all__ = ["gan_run", "vae_run"]
