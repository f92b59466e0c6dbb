"""The default launcher: every job is a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class ProcessLauncher(Launcher):
    """Hands the jobs of one sweep to `ganvas.sweep`; see `conf/hydra/launcher/ganvas.yaml`."""

    def __init__(self, **settings: Any) -> None:
        del settings  # `launch` reads and checks them
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remembers the config; there is one task, and `ganvas.sweep` knows it."""
        del hydra_context, task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs the jobs to their end, whatever becomes of each."""
        from ganvas.sweep.launch import launch

        del initial_job_idx  # there is one batch, see `sweep.prepare`
        assert self.config is not None
        return launch(self.config.hydra, job_overrides)
