"""Fixtures of the engine's tests."""

from engine_helpers import (
    ae_run,
    fresh_modules,
    gan_run,
    no_gpu,
    place,
    vae_copy,
    vae_run,
)
from killing import wholes

__all__ = ["ae_run", "fresh_modules", "gan_run", "no_gpu", "place", "vae_copy", "vae_run", "wholes"]
