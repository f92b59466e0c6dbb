"""Helpers of this folder, and the engine's fixtures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from engine_helpers import fresh_modules, no_gpu, place

__all__ = ["fresh_modules", "no_gpu", "place"]
