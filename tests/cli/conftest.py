"""Fixtures of the command line's tests: those of the engine's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from engine_helpers import (
    ae_run,
    fresh_modules,
    gan_run,
    no_gpu,
    place,
    vae_copy,
    vae_run,
)

__all__ = ["ae_run", "fresh_modules", "gan_run", "no_gpu", "place", "vae_copy", "vae_run"]
