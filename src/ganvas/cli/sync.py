"""`ganvas sync PATH…`: offline runs are uploaded to W&B."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.cli.arguments import split, switch
from ganvas.errors import ConfigError, RunError

if TYPE_CHECKING:
    from ganvas.tracking.syncing import OfflineRun

OPTIONS = ("dry_run", "project", "entity")
USAGE = "ganvas sync PATH… [dry_run=true project=NAME entity=NAME]"


@dataclass(frozen=True)
class _Typed:
    paths: list[Path]
    dry_run: bool
    options: list[str]


def sync(arguments: Sequence[str]) -> int:
    """Upload; the exit code, 1 where something could not be uploaded.

    Raises:
        GanvasError: if there is nothing to upload, or no account.
    """
    typed = _parse(arguments)
    from ganvas.tracking.syncing import offline_runs

    runs = offline_runs(typed.paths)
    if not runs:
        raise RunError(
            f"{', '.join(map(str, typed.paths))}: no offline runs of W&B there; runs with "
            "logger=none have none, and those that were shown online are there already"
        )
    if typed.dry_run:
        return _close(Counter(_listed(run) for run in runs))
    return _upload_all(runs, server=_server(), options=typed.options)


def _parse(arguments: Sequence[str]) -> _Typed:
    paths, options = split(arguments, OPTIONS, usage=USAGE)
    passed = [f"--{key}={options[key]}" for key in ("project", "entity") if key in options]
    return _Typed(paths, switch("dry_run", options), passed)


def _server() -> str:
    """The address of W&B's server, where there is an account for it."""
    from ganvas.tracking.wandb_account import has_account, quiet_wandb

    settings = quiet_wandb().setup().settings
    server = str(settings.base_url)
    if not (settings.api_key or has_account(server)):
        raise ConfigError(
            f"no account is set up for {server}; run `wandb login` (of a server of your own: "
            "`wandb login --host=URL`), or set WANDB_API_KEY"
        )
    return server


def _upload_all(runs: Sequence[OfflineRun], *, server: str, options: Sequence[str]) -> int:
    """One after the other; once the server does not answer, the rest is left."""
    from ganvas.tracking.syncing import UnreachableError, check_reachable, upload

    done: Counter[str] = Counter()
    try:
        check_reachable(server)
        for run in runs:
            state, text = run.state()
            if state == "to upload":
                state, text = upload(run, server=server, options=options)
            done[state] += 1
            _say(state, run, text)
    except UnreachableError as error:
        print(f"ganvas: {error}", file=sys.stderr, flush=True)
        done["left"] = len(runs) - done.total()
    return _close(done)


def _listed(run: OfflineRun) -> str:
    state, text = run.state()
    parts = len(run.waiting())
    _say(state, run, text or (f"{parts} parts" if parts > 1 else ""))
    return state


def _say(state: str, run: OfflineRun, text: str) -> None:
    place = os.path.relpath(run.folder)
    print(f"{state:<13}  {place}" + (f"  {text}" if text else ""), flush=True)


def _close(done: Counter[str]) -> int:
    print(", ".join(f"{number} {state}" for state, number in done.items() if number))
    return 1 if done["failed"] or done["left"] else 0
