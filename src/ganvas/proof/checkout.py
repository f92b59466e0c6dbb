"""The code of a recorded commit, in a worktree that is gone afterwards, and a run by it.

`ganvas train` on the command line is what two versions of ganvas have in common, so the run is
started as its user started it, by a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.engine.resume import RESUMABLE
from ganvas.engine.train import Outcome
from ganvas.errors import RunError
from ganvas.tracking.files import RUN_FILE, read_run_json, run_folder
from ganvas.tracking.record import RunRecord
from ganvas.tracking.sources import checkout as own_checkout

_LOOK_SECONDS = 0.2
_OF_THIS_CALL = ("logger", "paths", "trust", "check", "full_error", "resume", "hydra")
_KEY = re.compile(r"[+~]*([\w.@/]+)")


@dataclass(frozen=True)
class Commit:
    """What a run was trained by.

    Attributes:
        sha: of ganvas' repository.
        diff: file of the changes that were not committed; None of none.
    """

    sha: str
    diff: Path | None


def recorded_commit(record: Mapping[str, Any], folder: Path, *, diff: bool) -> Commit:
    """The commit of a run, with its recorded changes where `diff` allows to run them.

    Raises:
        RunError: if ganvas is not run from its repository, or the run recorded no commit of it.
    """
    if own_checkout() is None:
        raise RunError(
            "--checkout needs ganvas' git repository, and this ganvas is installed without; clone "
            "it, and run its `python -m ganvas reproduce` with PYTHONPATH=src"
        )
    git = (record.get("code") or {}).get("git") or record.get("git") or {}
    sha = str(git.get("sha") or "")
    if not re.fullmatch(r"[0-9a-f]{40,64}", sha):
        raise RunError(f"--checkout: {folder} recorded no commit of ganvas; leave it out")
    file = folder / str(git.get("diff")) if git.get("diff") else None
    if file is not None and (file.parent != folder or not file.is_file()):
        raise RunError(f"--checkout: the run's changes, {git['diff']}, are not in its folder")
    if file is not None and not diff:
        raise RunError(
            f"--checkout: the run was trained by a commit with changes, {file.name}, which are "
            "code from elsewhere; look at them, and add diff=true to run them"
        )
    return Commit(sha, file)


@contextmanager
def worktree(commit: Commit) -> Iterator[Path]:
    """A checkout of the commit in a temporary folder; removed whatever happens.

    Raises:
        RunError: if the repository has no such commit, or the changes don't fit it.
    """
    top = own_checkout()
    assert top is not None
    scratch = Path(tempfile.mkdtemp(prefix="ganvas-checkout-"))
    tree = scratch / "ganvas"
    try:
        _git(top, "worktree", "add", "--detach", str(tree), commit.sha)
        if commit.diff is not None:
            _git(tree, "apply", "--whitespace=nowarn", str(commit.diff.resolve()))
        yield tree
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(RunError):
            _git(top, "worktree", "unlock", str(tree))  # only one that was interrupted is locked
        _git(top, "worktree", "prune")


def _git(where: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["git", *arguments], cwd=where, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise RunError(f"--checkout: git {arguments[0]} failed: {said[-1]}")


def overrides_of(record: Mapping[str, Any], typed: Sequence[str]) -> list[str]:
    """What the run was started with, less what is of one call; with its later budgets."""
    kept = [text for text in typed if not _key(text).startswith(_OF_THIS_CALL)]
    for part in record.get("resumed") or []:
        kept += [text for text in part.get("overrides") or [] if _key(text) in RESUMABLE[:2]]
    return kept


def _key(override: str) -> str:
    match = _KEY.match(override)
    return "" if match is None else match[1]


def train_there(
    tree: Path,
    overrides: Sequence[str],
    *,
    place: Path,
    environment: Mapping[str, str],
    enough: Callable[[Path], bool],
) -> tuple[Outcome, Path | None]:
    """Train by the worktree's code, in a folder under `place`.

    Args:
        tree: of the code.
        overrides: of `ganvas train`.
        place: made; holds the run's folder alone.
        environment: added to this process'.
        enough: looks at the run's folder now and then; true ends the run.

    Returns:
        How it ended, and the run's folder; None where it was refused.
    """
    command = [sys.executable, "-m", "ganvas", "train", *overrides]
    place.mkdir(parents=True)
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            command,
            env=_environment(tree, environment),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            process_group=0,  # Ctrl-C reaches it once, through this process
        )
        with _passed_on(child) as came:
            code = _watch(child, place, enough)
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    found = next(iter(sorted(place.glob(f"**/{RUN_FILE}"))), None)
    folder = None if found is None else found.parent
    code = 128 + came[0] if came else code
    told = None if folder is None else read_run_json(folder).get("reason")
    said_last = next((line for line in reversed(lines) if line.strip()), "no message")
    reason = None if code == 0 else told or said_last
    return Outcome(folder or place, code, reason), folder


def evaluate_there(
    tree: Path, run: Path, overrides: Sequence[str], *, environment: Mapping[str, str]
) -> None:
    """Measure by the worktree's code; what it refuses is not in the run's record afterwards."""
    subprocess.run(
        [sys.executable, "-m", "ganvas", "evaluate", str(run), *overrides],
        env=_environment(tree, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def _environment(tree: Path, added: Mapping[str, str]) -> dict[str, str]:
    paths = [str(tree / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **added, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _watch(child: subprocess.Popen[bytes], place: Path, enough: Callable[[Path], bool]) -> int:
    """Until it ends by itself, or there is enough; an end that was asked for is none of its own."""
    asked = False
    while True:
        try:
            code = child.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            found = next(iter(place.glob(f"**/{RUN_FILE}")), None)
            if not asked and found is not None and enough(found.parent):
                child.send_signal(signal.SIGTERM)
                asked = True
            continue
        return 0 if asked and code == 128 + signal.SIGTERM else code


@contextmanager
def _passed_on(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Signals to this process go to the run, which writes its checkpoint; they are noted here."""
    came: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        del frame
        came.append(number)
        if child.poll() is None:
            child.send_signal(number)

    former = {n: signal.signal(n, hand_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
        child.wait()


def settle(folder: Path, *, original: Path, place: Path, name: str, out: Path | None) -> Path:
    """Moves a re-run to where re-runs are, and notes of what run it is one."""
    record = RunRecord.open(folder, resume=False)
    try:
        record.set(reproduction_of=str(original))
    finally:
        record.close()
    target = out or run_folder(place, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, target)
    return target


def same_config(folder: Path, expected: str | None) -> bool:
    """Whether the run there is of the config that is to be reproduced."""
    return expected is None or read_run_json(folder).get("config_hash") == expected
