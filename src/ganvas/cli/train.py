"""`ganvas train`: composed and checked first, then handed on to Hydra.

Plain `@hydra.main` exits 1 on a misspelt key, and a check inside the task leaves a folder behind.
So every job is composed and checked here; only then does Hydra run, with its launcher, its sweeper
and its own flags.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from ganvas.errors import ConfigError
from ganvas.paths import config_dir

PASSED_ON = ("help", "hydra_help", "cfg", "info", "shell_completion")
"""Flags that Hydra answers itself, without running a job."""


def train(arguments: Sequence[str]) -> int:
    """Run `ganvas train …`; the exit code.

    Raises:
        GanvasError: if refused before any work.
    """
    flags, overrides = _parse(arguments)
    if any(getattr(flags, name) for name in PASSED_ON):
        return _hand_on(arguments, [])
    search = [flags.config_dir] if flags.config_dir else []
    for folder in search:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir: no such folder, got {folder!r}")
    if flags.multirun:
        return _sweep(arguments, overrides, search)
    from ganvas.engine.api import resume_run, resume_target

    if resume := resume_target(overrides):
        return report(resume_run(resume, overrides).exit_code, [])
    return _single(arguments, overrides, search)


def _parse(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.prog = "ganvas train"
    flags, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        raise ConfigError(f"`{unknown[0]}`: no such flag; see `ganvas train --hydra-help`")
    return flags, list(flags.overrides)


def _single(arguments: Sequence[str], overrides: list[str], search: list[str]) -> int:
    from ganvas.engine.compose import compose

    composed = compose(overrides, search=search)
    from ganvas.engine.check import check_composed

    checked = check_composed(composed)
    if checked.settings.check:
        from rich.console import Console

        from ganvas.engine.report import print_check

        print_check(checked, console=Console())
        return 0
    return _hand_on(arguments, overrides)


def _sweep(arguments: Sequence[str], overrides: list[str], search: list[str]) -> int:
    from ganvas.engine.compose import compose, sweep_jobs

    composed = [compose(job, search=search) for job in sweep_jobs(overrides)]
    from ganvas.engine.check import check_build, check_composed

    for job in composed:
        try:
            check_build(check_composed(job))
        except ConfigError as error:
            cell = " ".join(job.overrides)
            raise ConfigError(f"the cell `{cell}` can't be run:\n{error}") from error
    return _hand_on(arguments, overrides)


def _hand_on(arguments: Sequence[str], overrides: list[str]) -> int:
    """Let Hydra run the job or jobs."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    codes: list[int] = []

    def job(config: DictConfig) -> None:
        del config
        from hydra.types import RunMode

        from ganvas.engine.check import check_overrides
        from ganvas.engine.train import train_checked

        hydra_config = HydraConfig.get()
        typed = list(hydra_config.overrides.task)
        search = [p.removeprefix("file://") for p in _search_folders(arguments)]
        in_sweep = hydra_config.mode == RunMode.MULTIRUN
        folder = Path(hydra_config.sweep.dir).absolute() if in_sweep else None
        checked = check_overrides(typed, search=search)
        HydraConfig.instance().cfg = None
        outcome = train_checked(checked, overrides=typed, runs_dir=folder)
        codes.append(
            report(
                outcome.exit_code,
                [outcome.reason, str(outcome.folder)],
                error=outcome.error,
                full_error=checked.settings.full_error,
            )
        )

    GlobalHydra.instance().clear()
    former, sys.argv = sys.argv, ["ganvas", *arguments]
    try:
        hydra.main(
            version_base="1.3", config_path=str(config_dir().resolve()), config_name="train"
        )(job)()
    finally:
        sys.argv = former
        GlobalHydra.instance().clear()
    return max(codes, default=0)


def _search_folders(arguments: Sequence[str]) -> list[str]:
    flags, _ = _parse(arguments)
    return [flags.config_dir] if flags.config_dir else []


def report(
    code: int,
    notes: Sequence[str | None],
    *,
    error: BaseException | None = None,
    full_error: bool = False,
) -> int:
    """Say in one line why a run failed, with its log or its traceback; its exit code."""
    if code == 1 and notes:
        reason, folder = notes
        if full_error and error is not None:
            import traceback

            traceback.print_exception(error)
        print(f"ganvas: {reason}", file=sys.stderr)
        print(f"ganvas: the traceback is in {folder}/log.txt", file=sys.stderr)
    return code
