"""Hydra's doors to `ganvas.sweep`: launchers and a sweeper, without heavy imports."""
