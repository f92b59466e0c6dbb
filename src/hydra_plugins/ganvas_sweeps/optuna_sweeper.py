"""The sweeper that searches; what it does is in `ganvas.sweep.search`."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Hands a search to `ganvas.sweep`; see `conf/hydra/sweeper/optuna.yaml`."""

    def __init__(self, **settings: Any) -> None:
        del settings  # read from the config once more, unchanged by Hydra's instantiation
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remembers the config; trials are cells, so there is no task and no batch to launch."""
        del hydra_context, task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Runs the trials to their end, whatever becomes of each."""
        from ganvas.sweep.search_launch import launch

        assert self.config is not None
        launch(self.config.hydra, tuple(arguments))
