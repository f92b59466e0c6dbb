"""`ganvas sweep`: how a sweep goes, go on with it, add cells to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ganvas.errors import ConfigError


def sweep(arguments: Sequence[str]) -> int:
    """Run `ganvas sweep ACTION DIR …`; the exit code.

    Raises:
        GanvasError: if refused before any work.
    """
    actions: dict[str, Callable[[Path, list[str]], int]] = {
        "status": _status,
        "resume": _resume,
        "add": _add,
    }
    action, *rest = arguments or [""]
    if action not in actions:
        from ganvas.engine.compose import suggest

        raise ConfigError(
            f"sweep {action}: no such action{suggest(action, list(actions))}; "
            "ganvas sweep status|resume|add DIR"
        )
    if not rest or "=" in rest[0] or rest[0].startswith("-"):
        raise ConfigError(f"sweep {action} needs a sweep's folder: ganvas sweep {action} DIR")
    return actions[action](Path(rest[0]).expanduser().absolute(), rest[1:])


def _status(folder: Path, overrides: list[str]) -> int:
    if overrides:
        raise ConfigError(f"`{overrides[0]}`: `ganvas sweep status DIR` takes nothing more")
    from ganvas.sweep.status import show_status

    return show_status(folder)


def _resume(folder: Path, overrides: list[str]) -> int:
    from ganvas.sweep.resume import resume

    return _run(resume, folder, overrides)


def _add(folder: Path, overrides: list[str]) -> int:
    from ganvas.sweep.resume import add

    return _run(add, folder, overrides)


def _run(action: Callable[[Path, list[str]], int], folder: Path, overrides: list[str]) -> int:
    from ganvas.sweep.closing import close
    from ganvas.sweep.launch import SweepStopped

    try:
        code = action(folder, overrides)
    except SweepStopped as stopped:
        code = stopped.code
    return close(folder, code=code)
