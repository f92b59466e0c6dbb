"""What an exception means to the user: one line with a remedy, wherever one is known."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.engine.out_of_memory import REMEDY, is_out_of_memory, of_command, of_training
from ganvas.errors import ConfigError, GanvasError

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk's quota is used up"}
_LOWER = {
    "train": REMEDY,
    "evaluate": "lower batch_size or num, or leave measures out (metrics=[…])",
    "sample": "lower n",
    "latent": "lower the number of images or the tool's steps",
}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def reason_of(error: BaseException, *, folder: Path, checked: Checked) -> str:
    """Why a run failed, in one line.

    Args:
        error: what stopped it.
        folder: of the run.
        checked: its config.
    """
    if isinstance(error, GanvasError):
        text = str(error)
    elif is_out_of_memory(error):
        text = f"{of_training(checked, error)}; {_going_on(folder, changed=True)}"
    elif isinstance(error, OSError) and (fault := disk_fault(error)):
        text = f"the run could not be written, {fault}; {_going_on(folder)}"
    else:
        text = f"{type(error).__name__}: {error}"
    return (text.splitlines() or [""])[0]


@contextmanager
def written(place: Path) -> Iterator[None]:
    """A run's record is made, or opened, inside.

    Raises:
        ConfigError: if it can't be written.
    """
    try:
        yield
    except OSError as error:
        reason = disk_fault(error) or error.strerror or type(error).__name__
        raise ConfigError(
            f"{place}: no run can be written there: {reason}; mend that, or choose another "
            "paths.runs_dir"
        ) from error


def fault_of_machine(error: BaseException, *, command: str) -> str | None:
    """One line where a command found no memory, or a disk that takes no more; else None."""
    if is_out_of_memory(error):
        return of_command(error, remedy=_LOWER.get(command, "work on less at once"))
    if isinstance(error, OSError) and (fault := disk_fault(error)):
        return f"{error.filename or 'a file'} could not be written: {fault}; mend that"
    return None


def disk_fault(error: OSError) -> str | None:
    """What is wrong with a disk that took no more; None where that is not the fault."""
    number = error.errno or 0
    if number in _FULL:
        return f"{_FULL[number]} ({error.strerror})"
    if number == errno.EFBIG:
        return f"a file would be larger than `ulimit -f` allows ({error.strerror})"
    if number in _CLOSED:
        return f"no more may be written ({error.strerror})"
    return f"the disk fails ({error.strerror})" if number == errno.EIO else None


def _going_on(folder: Path, *, changed: bool = False) -> str:
    """How to go on, where there is a checkpoint to go on from."""
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        return f"mend that, then begin again (there is no checkpoint in {folder})"
    meant = " resume_with_changes=true" if changed else ""
    return f"mend that, then go on with resume={folder}{meant}"
