"""The launcher that submits cells to a SLURM cluster: its values, and what they must fit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ganvas.engine.settings import Section
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

SLURM = "hydra_plugins.ganvas_sweeps.slurm.SlurmLauncher"
COMMANDS = ("sbatch", "srun", "sacct")
"""Of SLURM, that submitting and watching need."""

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


class SlurmSettings(Section):
    """`conf/hydra/launcher/slurm.yaml`, less its target."""

    executor: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: Count = 240
    requeues: Natural = 10
    signal_delay_s: Count = 120
    nodes: Count = 1
    tasks_per_node: Count = 1
    gpus_per_node: Natural | None = None
    cpus_per_task: Count = 4
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    array_parallelism: Count = 16
    setup: list[str] = Field(default_factory=list)
    additional: dict[str, str | int | float | bool] = Field(default_factory=dict)
    wait: bool = True
    retries: Natural = 0
    report: bool = True

    @model_validator(mode="after")
    def _fits(self) -> SlurmSettings:
        named = (self.partition, self.account, self.qos)
        texts = (*named, *self.additional, *self.additional.values())
        if any(not text.isprintable() for text in texts if isinstance(text, str)):
            raise ValueError("an option of sbatch is one line; write shell under setup")
        if self.retries and not self.wait:
            raise ValueError("retries: only who waits can submit a cell again; set wait=true")
        if self.executor == "local" and self.nodes > 1:
            raise ValueError("nodes: executor=local has this machine only; set nodes=1")
        return self

    def check(self, cells: Sequence[Checked]) -> None:
        """What the cells ask for can be had from the cluster.

        Raises:
            ConfigError: it can't, or there is no cluster.
        """
        lacking = [name for name in COMMANDS if shutil.which(name) is None]
        if self.executor == "slurm" and lacking:
            raise ConfigError(
                f"hydra/launcher=slurm: {', '.join(lacking)} not found on PATH; submit from a "
                "machine of the cluster, or try it here with hydra.launcher.executor=local"
            )
        for cell in cells:
            self._check_ranks(cell.settings.trainer)

    def _check_ranks(self, trainer: Any) -> None:
        if trainer.num_nodes != self.nodes:
            raise ConfigError(
                f"hydra.launcher.nodes: must equal trainer.num_nodes={trainer.num_nodes}, "
                f"got {self.nodes}"
            )
        allowed = {trainer.devices} if self.nodes > 1 else {1, trainer.devices}
        if self.tasks_per_node not in allowed:
            raise ConfigError(
                "hydra.launcher.tasks_per_node: must be "
                f"{' or '.join(map(str, sorted(allowed)))}, as trainer.devices={trainer.devices} "
                f"and trainer.num_nodes={trainer.num_nodes}, got {self.tasks_per_node}"
            )
        gpus = self.gpus_per_node
        if trainer.accelerator != "cpu" and gpus and gpus < trainer.devices:
            raise ConfigError(
                "hydra.launcher.gpus_per_node: must be at least "
                f"trainer.devices={trainer.devices}, got {gpus}"
            )
        if trainer.accelerator == "gpu" and not gpus:
            raise ConfigError(
                "hydra.launcher.gpus_per_node: trainer.accelerator=gpu needs GPUs, got "
                f"{gpus}; set it to {trainer.devices}"
            )
