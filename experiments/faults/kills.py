"""Runs that are killed at random moments, resumed, and compared with the undisturbed run."""

from __future__ import annotations

from trials import FaultClass

CLASSES: dict[str, FaultClass] = {}
ALONE: frozenset[str] = frozenset()
