"""The typed sections of sweeps."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ganvas.engine.command import as_override
from ganvas.engine.settings import Section, validate
from ganvas.errors import ConfigError, RunError
from ganvas.sweep.slurm_settings import SLURM, SlurmSettings

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

Count = Annotated[int, Field(ge=1)]

SHELL = ("setup", "additional")
"""Keys of a cluster's launcher that can run code: given anew when a sweep goes on."""


class LauncherSettings(Section):
    """`conf/hydra/launcher/ganvas.yaml`, less its target."""

    n_jobs: Count | None = None
    retries: Annotated[int, Field(ge=0)] = 0
    fail_fast: bool = False
    time_limit: Annotated[float, Field(gt=0)] | None = None
    report: bool = True

    def check(self, cells: Sequence[Checked]) -> None:
        """What the cells ask for can be had on this machine.

        Raises:
            ConfigError: a cell needs several machines.
        """
        nodes = max((cell.settings.trainer.num_nodes for cell in cells), default=1)
        if nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes={nodes}: hydra/launcher=ganvas runs cells on this machine; use "
                "hydra/launcher=slurm"
            )


class SweepSettings(Section):
    """`conf/sweep.yaml`."""

    run: str
    failed: bool
    n_jobs: Count | None
    retries: Annotated[int, Field(ge=0)] | None
    fail_fast: bool | None
    time_limit: Annotated[float, Field(gt=0)] | None
    report: bool | None
    trials: Count | None
    setup: list[str] | None
    additional: dict[str, str | int | float | bool] | None
    full_error: bool
    trust: list[str]

    def launcher(self, recorded: dict[str, Any]) -> Launching:
        """How the sweep began, with what is given now in its place.

        Raises:
            ConfigError: a value is given that its launcher does not know, or what a shell runs is
                not given again.
            RunError: there is no such launcher.
        """
        section = LAUNCHERS.get(recorded.get("_target_", PROCESSES))
        if section is None:
            raise RunError(f"sweep.json: no launcher `{recorded['_target_']}`; restore it")
        known = {k: v for k, v in recorded.items() if k in section.model_fields}
        given = self.model_dump(exclude_none=True, include={*LauncherSettings.model_fields, *SHELL})
        for key in given:
            if key not in section.model_fields:
                where = "a cluster" if section is SlurmSettings else "this machine"
                raise ConfigError(f"{key}: this sweep runs on {where}, whose launcher has none")
        for key in SHELL:
            if known.get(key) and key not in given:
                typed = shlex.quote(f"{key}={as_override(known[key])}")
                raise ConfigError(
                    f"{key}: the shell of this sweep's jobs reads it, and a file is not taken at "
                    f"its word; where it is your own, add {typed}"
                )
        return validate(section, known | given, prefix="launcher")


PROCESSES = "hydra_plugins.ganvas_sweeps.launcher.ProcessLauncher"
Launching = LauncherSettings | SlurmSettings
LAUNCHERS: dict[str, type[LauncherSettings] | type[SlurmSettings]] = {
    PROCESSES: LauncherSettings,
    SLURM: SlurmSettings,
}
"""What a launcher's keys are checked against."""
