"""`ganvas train`: composed and checked first; sweeps are then handed on to Hydra.

Plain `@hydra.main` exits 1 on a misspelt key, and a check inside the task leaves a folder behind.
So every run is composed and checked here. A single one is trained at once; for a sweep, and for
its own flags, Hydra runs, with its sweeper and our launcher.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ganvas.errors import ConfigError
from ganvas.paths import config_dir

if TYPE_CHECKING:
    from ganvas.engine.build import Checked
    from ganvas.engine.train import Outcome
    from ganvas.sweep.prepare import Prepared

EXIT_FAILED, EXIT_REFUSED = 1, 2

PASSED_ON = ("help", "hydra_help", "cfg", "info", "shell_completion")
"""Flags that Hydra answers itself, without running a job."""

NOT_OURS = {
    "config_name": "there is one train.yaml; keep your own settings in experiment/<name>.yaml",
    "config_path": "add your own folder of groups with --config-dir",
    "experimental_rerun": "use resume=RUN or init_from=RUN",
}
"""Hydra's flags that would run another config than the one that was checked."""


def train(arguments: Sequence[str]) -> int:
    """Run `ganvas train …`; the exit code.

    Raises:
        GanvasError: if refused before any work.
    """
    flags, overrides = _parse(arguments)
    arguments = _flags_first(arguments, overrides)
    if any(getattr(flags, name) for name in PASSED_ON):
        return _hand_on(arguments)
    for name, remedy in NOT_OURS.items():
        if getattr(flags, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')}: not a flag of ganvas; {remedy}")
    if flags.config_dir and not Path(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir: no such folder, got {flags.config_dir!r}")
    search = [flags.config_dir] if flags.config_dir else []
    if flags.multirun:
        return _sweep(arguments, overrides, search)
    from ganvas.engine.grammar import resume_target

    if resume := resume_target(overrides):
        from ganvas.engine.resume import resume_run

        return report(resume_run(resume, overrides), full_error=_wants_traceback(arguments))
    return _single(arguments, overrides, search)


def _parse(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    from hydra._internal.utils import get_args_parser

    from ganvas.engine.compose import suggest

    parser = get_args_parser()
    parser.prog = "ganvas train"
    flags, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        hint = suggest(unknown[0], [o for o in parser._option_string_actions if o[:2] == "--"])
        hint = hint if "did you mean" in hint else "; see `ganvas train --hydra-help`"
        raise ConfigError(f"`{unknown[0]}`: no such flag{hint}")
    return flags, list(flags.overrides)


def _flags_first(arguments: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Hydra refuses flags between overrides; here they may stand anywhere."""
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    return [*flags, *overrides]


def _wants_traceback(arguments: Sequence[str]) -> bool:
    from ganvas.cli.main import wants_traceback

    return wants_traceback(arguments)


def _single(arguments: Sequence[str], overrides: list[str], search: list[str]) -> int:
    from ganvas.engine.compose import compose

    composed = compose(overrides, search=search)
    from ganvas.engine.check import check_composed

    checked = check_composed(composed)
    if checked.settings.check:
        return _print_check(checked)
    from ganvas.engine.train import train_checked

    outcome = train_checked(checked, overrides=overrides)
    return report(outcome, full_error=_wants_traceback(arguments))


def _sweep(arguments: Sequence[str], overrides: list[str], search: list[str]) -> int:
    """Check every cell, then let Hydra's sweeper and launcher run them."""
    from ganvas.sweep.prepare import prepare

    prepared = prepare(overrides, search=search)
    if prepared.check:
        return _print_table(prepared)
    from ganvas.sweep.closing import close
    from ganvas.sweep.launch import SweepStopped

    try:
        _hand_on([*arguments, prepared.dir_override])
    except SweepStopped as stopped:
        return close(prepared.folder, code=stopped.code)
    return close(prepared.folder)


def _print_check(checked: Checked) -> int:
    from rich.console import Console

    from ganvas.engine.report import print_check

    print_check(checked, console=Console())
    return 0


def _print_table(prepared: Prepared) -> int:
    from rich.console import Console

    from ganvas.sweep.launch import machine_slots
    from ganvas.sweep.settings import LauncherSettings
    from ganvas.sweep.table import print_table

    if prepared.search is not None:
        from ganvas.sweep.search_closing import print_space

        print_space(prepared.search, Console())
    slots = machine_slots(LauncherSettings(n_jobs=prepared.launcher.get("n_jobs")))
    print_table(prepared.planned, slots=slots, console=Console())
    return 0


def _hand_on(arguments: Sequence[str]) -> int:
    """Let Hydra answer its flag, or call its sweeper and that one the launcher."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    def task(config: DictConfig) -> None:
        raise AssertionError(f"launchers of ganvas do not call the task, got {config}")

    GlobalHydra.instance().clear()
    if typed := os.environ.get("COMP_LINE"):  # Hydra's completion knows no sub-command
        os.environ["COMP_LINE"] = typed.replace("ganvas train ", "ganvas ", 1)
    former, sys.argv = sys.argv, ["ganvas", *arguments]
    rises = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # an error rises to us, and Hydra prints nothing
    try:
        hydra.main(
            version_base="1.3", config_path=str(config_dir().resolve()), config_name="train"
        )(task)()
    finally:
        sys.argv = former
        os.environ.pop("HYDRA_FULL_ERROR")
        if rises is not None:
            os.environ["HYDRA_FULL_ERROR"] = rises
        GlobalHydra.instance().clear()
    return 0


def report(outcome: Outcome, *, full_error: bool = False) -> int:
    """Say in one line why a run failed, with its log or its traceback; its exit code."""
    if outcome.exit_code == EXIT_FAILED:
        if full_error and outcome.error is not None:
            import traceback

            traceback.print_exception(outcome.error)
        print(f"ganvas: {outcome.reason}", file=sys.stderr)
        print(f"ganvas: the traceback is in {outcome.folder / 'log.txt'}", file=sys.stderr)
    return outcome.exit_code
