"""A search from its first trial to its last, and gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.settings import validate
from ganvas.errors import ConfigError, GanvasError, RunError
from ganvas.sweep.cells import Planned
from ganvas.sweep.launch import SweepStopped, command_line, run_cells
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.search_plan import STUDY, SearchPlan, plan_search, recorded
from ganvas.sweep.search_settings import Storage
from ganvas.sweep.settings import LauncherSettings, SweepSettings

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ganvas.sweep.source import Source

PLANS: dict[tuple[str, ...], tuple[SearchPlan, tuple[str, ...]]] = {}
"""Searches that the command line has checked, with trusted modules, by what was typed."""


def prepare_search(
    hydra: Mapping[str, Any], typed: Sequence[str], *, search: Sequence[str | Path]
) -> list[Planned]:
    """Check a search; the corners of its space.

    Raises:
        GanvasError: see `plan_search`; or its launcher knows no searches.
    """
    if str(hydra["launcher"]["_target_"]).rpartition(".")[2] != "ProcessLauncher":
        raise ConfigError(
            "hydra/sweeper=optuna: a trial is asked for when another one ends, on this machine; "
            "use hydra/launcher=ganvas"
        )
    plan, planned = plan_search(hydra["sweeper"], typed, dirs=search)
    trust = tuple(sorted({module for one in planned for module in one.checked.trust}))
    PLANS[tuple(typed)] = (plan, trust)
    return planned


def launch(hydra: DictConfig, typed: tuple[str, ...]) -> None:
    """Run a search that was prepared, in the sweep's folder.

    Raises:
        SweepStopped: after a signal.
        GanvasError: if nothing could be begun.
    """
    plan, trust = PLANS[typed]
    folder = Path(str(hydra.sweep.dir)).absolute()
    values = {str(key): value for key, value in hydra.launcher.items() if key != "_target_"}
    launcher = validate(LauncherSettings, values, prefix="hydra.launcher")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.create(
        folder,
        command=command_line(),
        overrides=list(typed),
        launcher=launcher.model_dump(),
        search=plan.dirs,
        trust=trust,
    )
    manifest.content[STUDY] = plan.record()
    code = run_search(manifest, launcher, plan, trust=trust)
    if code > 1:
        raise SweepStopped(code)


def run_search(
    manifest: Manifest,
    launcher: LauncherSettings,
    plan: SearchPlan,
    *,
    cells: Sequence[Cell] = (),
    trust: tuple[str, ...] = (),
) -> int:
    """Run a search's cells until its study has its trials; the exit code.

    Raises:
        RunError: another process runs the sweep, or the study can't be used.
    """

    def source(at_once: int) -> Source:
        from ganvas.sweep.search import Search

        return Search(manifest, plan, at_once=at_once, cells=cells, trust=trust)

    return run_cells(manifest, launcher, source=source, trust=trust)


def resume_search(
    manifest: Manifest, settings: SweepSettings, *, cells: Sequence[Cell], trust: tuple[str, ...]
) -> int:
    """Go on with a search; see `resume.resume`.

    Args:
        manifest: of the sweep, held and settled.
        settings: of the command.
        cells: that are to be gone on with, or tried again.
        trust: trusted modules.

    Raises:
        RunError: there is nothing to go on with, or the study can't be used.
    """
    plan = recorded(manifest.content[STUDY], num_trials=settings.trials)
    _check_left(manifest, plan, cells)
    manifest.content[STUDY] = plan.record()
    launcher = settings.launcher(manifest.content["launcher"])
    assert isinstance(launcher, LauncherSettings)  # see `prepare_search`
    return run_search(manifest, launcher, plan, cells=cells, trust=trust)


def _check_left(manifest: Manifest, plan: SearchPlan, cells: Sequence[Cell]) -> None:
    from ganvas.sweep.search import open_study
    from ganvas.sweep.search_study import num_trials, quiet

    _check_storage(manifest, plan)
    study = open_study(manifest, plan)
    with quiet():
        there, running = num_trials(study), any(not t.state.is_finished() for t in study.trials)
    if there >= plan.num_trials and not cells and not running:
        raise RunError(
            f"{manifest.folder}: its study has {there} trials, {plan.num_trials} in all were asked "
            f"for; nothing was run; go on to more with trials={there + 20}"
        )


def _check_storage(manifest: Manifest, plan: SearchPlan) -> None:
    """Nothing outside of the sweep's folder is written to but a study that knows the sweep.

    Raises:
        RunError: it is not there, can't be read, or does not.
    """
    import optuna

    from ganvas.report.search import check_knows, copied_storage
    from ganvas.sweep.search_study import quiet

    storage = Storage.named(plan.settings.storage, manifest.folder)
    if storage.file.resolve().is_relative_to(manifest.folder):
        return
    try:
        with quiet(), copied_storage(storage.file, sqlite=storage.sqlite) as copy:
            study = optuna.load_study(study_name=plan.settings.study_name, storage=copy)
            check_knows(study, manifest.name, file=storage.file)
    except GanvasError:
        raise
    except Exception as error:  # another program's file may be anything
        raise RunError(
            f"{storage.file}: the sweep's study can't be read ({type(error).__name__}); restore it"
        ) from error


def refuse_adding(manifest: Manifest) -> None:
    """Cells of a search come from its study.

    Raises:
        ConfigError: if the sweep is a search.
    """
    if STUDY in manifest.content:
        raise ConfigError(
            "sweep add: the cells of a search come from its study; go on with it by "
            "`ganvas sweep resume DIR trials=N`"
        )
