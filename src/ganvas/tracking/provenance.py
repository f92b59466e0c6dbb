"""Where a run's numbers come from: code, packages and hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ganvas.tracking.files import write_atomic
from ganvas.tracking.redact import redact_text

PACKAGES = (
    "ganvas",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "wandb",
    "numpy",
)
DIFF_FILE = "git.diff"

_MAX_DIFF_BYTES = 1_000_000
_GIT_TIMEOUT_S = 10


def git_state(
    run_dir: Path, *, cwd: Path | None = None, diff_file: str = DIFF_FILE
) -> dict[str, Any] | None:
    """Commit of the working folder; saves uncommitted changes as `git.diff` in the run folder.

    Args:
        run_dir: gets the diff where tracked files changed and it has at most 1 MB.
        cwd: the working folder, by default this process's.
        diff_file: the diff's name.

    Returns:
        `sha`, `dirty` (tracked files changed, or untracked ones there), `untracked` (their
        count) and `diff` (the file's name or None); None outside a repository, before its first
        commit or without git.
    """
    where = cwd or Path.cwd()
    status = _git(["status", "--porcelain=v2", "--branch", "-z"], cwd=where)
    if status is None:
        return None
    entries = [line for line in status.decode(errors="replace").split("\0") if line]
    heads = [line for line in entries if line.startswith("# branch.oid ")]
    sha = heads[0].split()[-1] if heads else "(initial)"
    if sha == "(initial)":
        return None
    untracked = sum(line.startswith("? ") for line in entries)
    changed = any(line[:2] in {"1 ", "2 ", "u "} for line in entries)
    diff = _save_diff(run_dir / diff_file, cwd=where) if changed else None
    return {"sha": sha, "dirty": changed or untracked > 0, "untracked": untracked, "diff": diff}


def _save_diff(file: Path, *, cwd: Path) -> str | None:
    diff = _git(["diff", "HEAD", "--no-color", "--no-ext-diff"], cwd=cwd)
    if not diff or len(diff) > _MAX_DIFF_BYTES:
        return None
    text = redact_text(diff.decode(errors="surrogateescape"))
    write_atomic(file, text.encode(errors="surrogateescape"))
    return file.name


def _git(arguments: list[str], *, cwd: Path) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def package_versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that decide a result; None where not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def hardware() -> dict[str, Any]:
    """CPU, threads, memory (bytes) and accelerators of this machine.

    `cpu_capability` (AVX2, AVX512 …) and `torch_threads` are there because they change the
    last bits of results.
    """
    import torch

    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": _memory_bytes(),
        "devices": _devices(),
    }


def determinism(mode: bool | str, *, threads: int) -> dict[str, Any]:
    """What decides whether the same run gives the same bits.

    Args:
        mode: deterministic algorithms alone (True), with a warning where there are none ("warn"),
            or any (False).
        threads: of each rank.
    """
    import torch

    return {
        "deterministic": mode,
        "threads": threads,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
    }


def _devices() -> list[dict[str, Any]]:
    import torch

    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return [{"name": d.name, "memory_bytes": d.total_memory} for d in found]
    if torch.backends.mps.is_available():
        return [{"name": "mps", "memory_bytes": _memory_bytes()}]
    return []


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
