"""The typed sections of sweeps."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ganvas.engine.settings import Section

Count = Annotated[int, Field(ge=1)]


class LauncherSettings(Section):
    """`conf/hydra/launcher/ganvas.yaml`, less its target."""

    n_jobs: Count | None = None
    retries: Annotated[int, Field(ge=0)] = 0
    fail_fast: bool = False
    time_limit: Annotated[float, Field(gt=0)] | None = None
    report: bool = True


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
    full_error: bool
    trust: list[str]

    def launcher(self, recorded: dict[str, Any]) -> LauncherSettings:
        """How the sweep began, with what is given now in its place."""
        given = self.model_dump(exclude_none=True)
        known = {k: v for k, v in recorded.items() if k in LauncherSettings.model_fields}
        return LauncherSettings(**known | {k: v for k, v in given.items() if k in known})


LAUNCHERS: dict[str, type[Section]] = {
    "hydra_plugins.ganvas_sweeps.launcher.ProcessLauncher": LauncherSettings,
}
"""What a launcher's keys are checked against."""
