"""Writes that leave either the old file or the new one, never a half of either."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ganvas.errors import RunError

FORMAT_VERSION = 1
"""Of `run.json`; raised when a reader of the old form would misunderstand the new one."""

RUN_FILE = "run.json"

_CREATE_ATTEMPTS = 100


def run_folder(runs_dir: Path, name: str) -> Path:
    """`runs_dir/<name>/<YYYY-MM-DD_HH-MM-SS>-<six hex digits>`, not yet made.

    Raises:
        RunError: `name` leaves `runs_dir`.
    """
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute():
        raise RunError(f"name must be a name or a relative path inside runs_dir, got {name!r}")
    parent = (runs_dir / name).resolve()
    return parent / f"{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(3)}"


def make_run_folder(runs_dir: Path, name: str, *, folder: Path | None = None) -> tuple[str, Path]:
    """Makes `run_folder(runs_dir, name)`, which no other process can get too.

    Args:
        runs_dir: where runs are kept.
        name: of the run.
        folder: chosen before, made in its place.

    Returns:
        The id, six hex digits, and the folder, absolute.

    Raises:
        RunError: `name` leaves `runs_dir`.
    """
    for _ in range(1 if folder else _CREATE_ATTEMPTS):
        path = folder or run_folder(runs_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path.name.rpartition("-")[2], path
    taken = folder or runs_dir / name
    raise RunError(f"no free folder name at {taken}; remove old runs or choose another name")


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces `path` by `data` in one step.

    Args:
        path: the file.
        data: its new content.
        durable: wait until the disk has the content, so that it outlives a power cut.

    Raises:
        OSError: the content could not be written (full disk); the old file stands unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(folder: Path) -> None:
    """What killed processes left half written in a run's folder, whose lock the caller has."""
    for place in (folder, folder / "checkpoints", folder / "samples"):
        for left in place.glob("*.tmp"):
            with contextlib.suppress(OSError):  # a folder that may only be read
                left.unlink()


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the folder's names, so that a rename outlives a power cut."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:  # a system that opens no folders
        return
    try:
        with contextlib.suppress(OSError):  # a file system that syncs none
            os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON atomically; NaN and infinities must have become strings before."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, (text + "\n").encode())


def write_yaml(path: Path, value: Any) -> None:
    """Writes `yaml_bytes` atomically."""
    write_atomic(path, yaml_bytes(value))


def yaml_bytes(value: Any) -> bytes:
    """YAML, quoted such that OmegaConf reads the same values back."""
    from omegaconf import OmegaConf

    if isinstance(value, dict):
        text = OmegaConf.to_yaml(OmegaConf.create(value))
    else:
        text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=False)
    return text.encode()


def read_run_json(path: Path | str) -> dict[str, Any]:
    """The content of a run's `run.json`.

    Args:
        path: the run folder, or the file itself.

    Raises:
        RunError: there is no such file, it is damaged, or a later version wrote it.
    """
    file = Path(path)
    if file.name != RUN_FILE:
        file = file / RUN_FILE
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise RunError(
            f"{file.parent} is no run folder: it has no {RUN_FILE}; "
            "give a folder like runs/<name>/<date-time>-<id>"
        ) from None
    except NotADirectoryError:
        raise RunError(
            f"{file.parent} is a file and no run folder; give a folder like "
            "runs/<name>/<date-time>-<id>"
        ) from None
    except OSError as error:
        raise RunError(f"{file} can't be read: {error.strerror}; check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{file} is damaged: not valid JSON ({error}); restore the file or choose another run"
        ) from error
    return _checked(content, file=file)


def _checked(content: Any, *, file: Path) -> dict[str, Any]:
    version = content.get("format_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or "status" not in content or "id" not in content:
        raise RunError(
            f"{file} is damaged: needs the keys format_version, id and status; "
            "restore the file or choose another run"
        )
    if version > FORMAT_VERSION:
        raise RunError(
            f"{file} has format_version {version}, this version reads up to {FORMAT_VERSION}; "
            "upgrade ganvas"
        )
    return dict(content)


def find_runs(path: Path | str) -> list[Path]:
    """Every run folder at or under `path`, sorted; run folders are not searched further.

    Raises:
        RunError: there is no such folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise RunError(f"{root} is no folder; give a runs folder, a sweep folder or a run")
    return sorted(_walk(root))


def _walk(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        if RUN_FILE in names:
            subfolders.clear()
            yield Path(folder)
