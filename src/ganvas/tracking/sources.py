"""Which code a run was trained by, to the byte: a commit changes with every word of the docs."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ganvas.tracking.provenance import git_state

PACKAGE = Path(__file__).resolve().parents[1]

SHOWN_ONLY = ("cli", "latent", "proof", "report", "sweep")
"""Parts of ganvas that decide no number of a run."""

_SHORT = 16  # hex digits that tell two parts apart


def code_state(
    run_dir: Path, *, modules: Sequence[str] = (), git: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The sources that train: ganvas' own, and the user's trusted modules.

    Args:
        run_dir: gets `ganvas.diff` where ganvas is a changed checkout, and not the one that the
            process works in (then its diff is in `git.diff`).
        modules: trusted ones; those that are not imported are left out.
        git: state of the repository that the process works in, if any.

    Returns:
        `sources` (sha256 of all that decides a number), `parts` (a short hash of each part of
        ganvas), `modules` (sha256 by name), and `git` of the checkout that ganvas is run from,
        as `provenance.git_state` has it; None where it is installed.
    """
    parts = dict(_parts())
    deciding = sorted(text for name, text in parts.items() if name not in SHOWN_ONLY)
    return {
        "sources": hashlib.sha256("".join(deciding).encode()).hexdigest(),
        "parts": {name: text[:_SHORT] for name, text in parts.items()},
        "modules": module_hashes(modules),
        "git": _own_git(run_dir, git),
    }


def checkout() -> Path | None:
    """The top of the repository that ganvas is run from; None where it is installed."""
    top = PACKAGE.parents[1]
    return top if (top / ".git").exists() and top / "src" / "ganvas" == PACKAGE else None


def module_hashes(names: Iterable[str]) -> dict[str, str]:
    """Hash of the Python files of each imported module, by its name."""
    found = {}
    for name in sorted(set(names)):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None:
            path = Path(file)
            whole = path.name == "__init__.py"
            files = sorted(path.parent.rglob("*.py")) if whole else [path]
            found[name] = _digest(files, top=path.parent)
    return found


@cache
def _parts() -> tuple[tuple[str, str], ...]:
    """Name and hash of each part of ganvas; once per process, which runs what it has loaded."""
    files: dict[str, list[Path]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        within = file.relative_to(PACKAGE).parts
        files.setdefault(within[0] if len(within) > 1 else "ganvas", []).append(file)
    return tuple((name, _digest(some, top=PACKAGE)) for name, some in sorted(files.items()))


def _digest(files: Iterable[Path], *, top: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(top).as_posix()} {len(content)};".encode() + content)
    return digest.hexdigest()


def _own_git(run_dir: Path, git: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    top = checkout()
    if top is None or Path.cwd().resolve().is_relative_to(top):
        return git if top else None
    return git_state(run_dir, cwd=top, diff_file="ganvas.diff")
