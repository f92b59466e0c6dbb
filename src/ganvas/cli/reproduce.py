"""`ganvas reproduce RUN`: is it what it says it is?"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from ganvas.proof.original import Original
    from ganvas.proof.settings import ReproduceSettings

USAGE = "ganvas reproduce RUN [--steps N] [--checkout] [tolerance=0.01 out=FOLDER key=value …]"
_FLAGS = {"--steps": "steps", "--tolerance": "tolerance", "--out": "out", "--threads": "threads"}
_FAILED, _SIGNALS = 1, (128 + signal.SIGINT, 128 + signal.SIGTERM)


def reproduce(arguments: Sequence[str]) -> int:
    """Run again, compare, and say so; the exit code.

    0 bitwise equal, 3 equal within tolerance, 4 diverged, 5 not comparable; of several runs the
    worst. 1 where the re-run itself failed, 130 or 143 where it was interrupted.

    Raises:
        GanvasError: for bad input.
    """
    run, overrides = _parse(arguments)
    from ganvas.engine.command import command_settings
    from ganvas.proof.settings import ReproduceSettings

    settings = command_settings(ReproduceSettings, "reproduce", run, overrides)
    from rich.console import Console

    from ganvas.engine.signals import signal_inbox
    from ganvas.proof.original import find_originals

    console = Console()
    originals = find_originals(run, trust=settings.trust)
    if settings.out is not None and len(originals) > 1:
        raise ConfigError(f"out={settings.out}: {run} names {len(originals)} runs; leave out= out")
    codes: list[int] = []
    with signal_inbox():
        for original in originals:
            codes.append(_one(original, settings, console))
            if codes[-1] in _SIGNALS:
                break
    return _worst(codes)


def _one(original: Original, settings: ReproduceSettings, console: Console) -> int:
    """The exit code of one run, with all that there is to say about it printed."""
    from ganvas.errors import InterruptedRun
    from ganvas.proof.reproduce import reproduce as repeat
    from ganvas.proof.shown import print_conditions, print_verdict

    named = original.folder if original.kind == "run" else original.source
    console.print(f"reproducing {named}", highlight=False, markup=False, soft_wrap=True)
    try:
        done = repeat(original, settings, told=lambda done: print_conditions(done, console))
    except InterruptedRun as error:  # outside of the re-run, which says so by its outcome
        return 128 + error.signal
    print_verdict(done, console)
    console.print()
    return done.exit_code


def _worst(codes: Sequence[int]) -> int:
    """An interruption before all, then a re-run that failed, then the verdicts by their codes."""
    for code in (*_SIGNALS, _FAILED):
        if code in codes:
            return int(code)
    return max(codes, default=0)


def _parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """RUN, and the options in Hydra's grammar; flags may stand anywhere."""
    runs: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        flag, given, value = argument.partition("=")
        if flag == "--checkout" and not given:
            overrides.append("checkout=true")
        elif flag in _FLAGS:
            value = value if given else next(rest, "")
            if not value:
                raise ConfigError(f"`{flag}` takes a value; {USAGE}")
            overrides.append(f"{_FLAGS[flag]}={value}")
        elif flag.startswith("-") and not Path(argument).exists():
            raise ConfigError(f"`{flag}`: no such flag; {USAGE}")
        elif "=" in argument and not Path(argument).expanduser().exists():
            overrides.append(argument)
        else:
            runs.append(argument)
    if len(runs) != 1:
        told = f"got {', '.join(runs)}" if runs else "got none"
        raise ConfigError(f"reproduce takes one run, {told}: {USAGE}")
    return runs[0], overrides
