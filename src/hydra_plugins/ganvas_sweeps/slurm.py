"""Cells as jobs of a SLURM cluster."""

from __future__ import annotations

from hydra_plugins.ganvas_sweeps.launcher import ProcessLauncher


class SlurmLauncher(ProcessLauncher):
    """Hands the jobs of one sweep to `ganvas.sweep`; see `conf/hydra/launcher/slurm.yaml`."""
