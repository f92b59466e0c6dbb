"""What launchers call, and what `ganvas sweep` goes on with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ganvas.engine.settings import validate
from ganvas.errors import RunError
from ganvas.sweep.cells import Planned, add_cells, plan
from ganvas.sweep.driver import EXIT_FAILED, Driver
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.settings import LAUNCHERS, LauncherSettings, Launching
from ganvas.sweep.slots import Slots
from ganvas.sweep.slurm_driver import ClusterDriver, on_cluster
from ganvas.sweep.slurm_settings import SlurmSettings
from ganvas.sweep.source import Listed, Source
from ganvas.sweep.voice import Voice, say

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

Configs = dict[int, tuple[dict[str, Any], dict[str, str]]]
"""Resolved configs and choices of groups, by a cell's index."""

PLANNED: dict[tuple[str, ...], Planned] = {}
"""Cells that the command line has checked, by their overrides: not composed a second time."""


class SweepStopped(BaseException):
    """A sweep was interrupted; Hydra must not go on with the next batch.

    Args:
        code: exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def launch(hydra: DictConfig, jobs: Sequence[Sequence[str]]) -> list[JobReturn]:
    """Run the jobs of a sweep in its folder, to the end.

    Args:
        hydra: Hydra's own node.
        jobs: overrides of each.

    Raises:
        SweepStopped: after a signal.
        GanvasError: if nothing could be begun.
    """
    from hydra.core.utils import JobReturn, JobStatus
    from omegaconf import OmegaConf

    folder = Path(str(hydra.sweep.dir)).absolute()
    sources = hydra.runtime.config_sources
    search = [s.path for s in sources if s.schema == "file" and s.provider != "main"]
    missing = [job for job in jobs if tuple(job) not in PLANNED]
    PLANNED.update({one.overrides: one for one in plan(missing, search=search)} if missing else {})
    planned = [PLANNED[tuple(job)] for job in jobs]
    node = OmegaConf.to_container(hydra.launcher, resolve=True)
    assert isinstance(node, dict)
    target = str(node.pop("_target_"))
    launcher = validate(LAUNCHERS[target], cast("dict[str, Any]", node))
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.create(
        folder,
        command=command_line(),
        overrides=[*_axes(hydra.sweeper), *_typed(hydra)],
        launcher={"_target_": target, **launcher.model_dump()},
        search=[str(Path(place).absolute()) for place in search],
        trust=sorted({module for one in planned for module in one.checked.trust}),
    )
    (folder / "multirun.yaml").unlink(missing_ok=True)  # Hydra's: it has secrets, ours has not
    code = run_cells(manifest, launcher, planned=planned)
    if code > 1:
        raise SweepStopped(code)
    return [JobReturn(overrides=list(job), status=JobStatus.COMPLETED) for job in jobs]


def _typed(hydra: DictConfig) -> list[str]:
    """The overrides, with their interpolations as they were typed."""
    from omegaconf import OmegaConf

    return [str(text) for text in OmegaConf.to_container(hydra.overrides.task, resolve=False) or ()]


def _axes(sweeper: DictConfig) -> list[str]:
    """What a config sweeps over by itself (`hydra.sweeper.params`), as one would type it."""
    if not str(sweeper._target_).endswith(".BasicSweeper"):
        return []
    return [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]


def command_line() -> str:
    """What was typed, without the folder that was added to it."""
    typed = [a for a in sys.argv[1:] if not a.startswith('hydra.sweep.dir="')]
    return shlex.join(["ganvas", "train", *typed])


def run_cells(
    manifest: Manifest,
    settings: Launching,
    *,
    planned: Sequence[Planned] = (),
    cells: Sequence[Cell] = (),
    source: Callable[[int], Source] | None = None,
    trust: tuple[str, ...] = (),
) -> int:
    """Run new cells and some that the manifest has already, to the end; the exit code.

    Args:
        manifest: of the sweep; held while its cells run.
        settings: of the launcher.
        planned: new cells.
        cells: of the manifest.
        source: makes another source of cells, from their number at once.
        trust: trusted modules, besides those of the new cells.

    Raises:
        RunError: another process runs the sweep, or nothing can be written at its start.
        SweepStopped: `sweep.json` can't be written any more, or jobs were submitted and are not
            waited for.
    """
    with manifest.held():
        added, configs = _begun(manifest, planned)
        trust = (*trust, *(module for one in planned for module in one.checked.trust))
        listed = [*cells, *added]
        trust = tuple(dict.fromkeys(trust))
        driver: ClusterDriver | Driver
        if isinstance(settings, SlurmSettings):
            driver = on_cluster(manifest, settings, cells=listed, trust=trust)
        else:
            driver = _here(manifest, settings, source or listed, configs=configs, trust=trust)
        try:
            code = driver.run()
        except (OSError, RunError) as error:
            place, told = manifest.folder, getattr(error, "strerror", None) or error
            remedy = "`ganvas sweep resume` goes on once that is mended"
            say(f"ganvas: {place}: the sweep stopped ({told}); {remedy}", error=True)
            raise SweepStopped(EXIT_FAILED) from error
        if isinstance(settings, SlurmSettings) and not settings.wait:
            raise SweepStopped(code)  # the cells are submitted, and that was all
        return code


def _here(
    manifest: Manifest,
    settings: LauncherSettings,
    cells: Callable[[int], Source] | Sequence[Cell],
    *,
    configs: Configs,
    trust: tuple[str, ...],
) -> Driver:
    """A driver of processes on this machine, for cells or what makes them."""
    voice, slots = Voice(manifest), machine_slots(settings)
    listed = None if callable(cells) else cells
    voice.begins(None if listed is None else len(listed), at_once=slots.num_jobs)
    return Driver(
        manifest,
        settings,
        slots=slots,
        source=cells(slots.num_jobs) if callable(cells) else Listed(cells),
        reporter=voice,
        configs=configs,
        trust=trust,
    )


def _begun(manifest: Manifest, planned: Sequence[Planned]) -> tuple[list[Cell], Configs]:
    """New cells, frozen and written down."""
    before = len(manifest.cells)
    try:
        added, configs = add_cells(manifest, planned)
        manifest.save()
    except OSError as error:
        del manifest.cells[before:]
        told = error.strerror or type(error).__name__
        raise RunError(
            f"{manifest.folder}: nothing can be written there ({told}); make room, or choose "
            "another folder"
        ) from error
    return added, configs


def machine_slots(settings: LauncherSettings) -> Slots:
    """Room for jobs on this machine."""
    import torch

    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Slots(settings.n_jobs, num_gpus=num_gpus, num_threads=torch.get_num_threads())
