"""Fingerprints of files: hashed once, then recognised by their stat signature."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from ganvas.errors import DataError
from ganvas.protocols import ImageSource
from ganvas.types import Split

_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago could change again under the same timestamp."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files that make up a data set.

    Attributes:
        names: what identifies each file wherever the set lies, e.g. its path below the root.
        paths: where each file is.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Decoded:
    """One split after decoding.

    Attributes:
        images: uint8, or float32 in [0, 1], `(N, C, H, W)`.
        labels: integers `(N,)`, or None.
        skipped: one line for each file that was left out.
    """

    images: np.ndarray
    labels: np.ndarray | None
    skipped: tuple[str, ...] = ()


@runtime_checkable
class FileBacked(Protocol):
    """A source whose content is a set of files, so that its fingerprint can be remembered."""

    @property
    def recipe(self) -> str:
        """Everything besides the files that changes the pixels, labels or splits."""

    def files(self) -> FileSet:
        """The files; raises `DataError` where they are missing."""


@runtime_checkable
class ReadsTolerantly(Protocol):
    """A source that can leave out what it can't read (`dataset.on_error=skip`)."""

    def read_valid(self, split: Split) -> Decoded:
        """The readable images of a split, and what was skipped."""


def source_fingerprint(source: ImageSource, *, memo_dir: Path | None = None) -> str:
    """The source's fingerprint; a file-backed one is hashed anew only after a file has changed.

    Args:
        source: what to identify.
        memo_dir: folder of remembered hashes; None hashes every time.
    """
    if isinstance(source, FileBacked):
        return combine(source.recipe, content_hash(source.files(), memo_dir=memo_dir))
    return source.fingerprint()


def combine(*parts: str) -> str:
    """SHA-256 over the parts, their borders kept."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def content_hash(files: FileSet, *, memo_dir: Path | None = None) -> str:
    """SHA-256 over names and bytes of the files.

    It is remembered under the signature (name, size, modification and change time of each file);
    a set that was changed within the last two seconds is hashed, and not remembered.
    """
    if memo_dir is None:
        return _hash_files(files)
    signature, settled = _signature(files)
    where = combine(*(str(path.absolute()) for path in files.paths))
    memo = memo_dir / f"{where[:32]}.json"
    known = _recall(memo, signature=signature)
    if known is not None:
        return known
    content = _hash_files(files)
    if settled:
        with suppress(OSError):  # as in a cache that is read-only
            write_atomically(memo, json.dumps({"signature": signature, "content": content}))
    return content


def _signature(files: FileSet) -> tuple[str, bool]:
    """Hash of all stats, and whether the newest change is old enough to rely on it."""
    now, newest = time.time_ns(), 0
    digest = hashlib.sha256()
    for name, path in zip(files.names, files.paths, strict=True):
        try:
            stat = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat
        except OSError:
            digest.update(f"{name}\0unreadable\n".encode("utf-8", "surrogateescape"))
            continue
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
        line = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest(), now - newest > _SETTLED_NS


def _recall(memo: Path, *, signature: str) -> str | None:
    """The remembered hash, or None where there is none for this signature."""
    try:
        known = json.loads(memo.read_text())
        matches = known["signature"] == signature
        return str(known["content"]) if matches else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a memo only saves time: without it the files are hashed


def _hash_files(files: FileSet) -> str:
    with ThreadPoolExecutor(num_workers()) as pool:
        digests = list(pool.map(_hash_file, files.paths, chunksize=64))
    return combine(*(part for pair in zip(files.names, digests, strict=True) for part in pair))


def _hash_file(path: Path) -> str:
    """Hash of one file; one that can't be read is reported when it is decoded."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def num_workers() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has it
        return os.cpu_count() or 1


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(text)
    temporary.replace(path)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns a failing write (full disk, no permission) into a `DataError` with its remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: the cache can't be written ({error.strerror or error}); "
            "free some space or set paths.cache_dir to a folder you can write to"
        ) from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes; released by the system if the process dies."""
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    with handle as file:
        with suppress(ImportError):  # no fcntl on Windows: the final rename decides there
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def first_missing(files: FileSet) -> Path | None:
    """The first file that isn't there, or None."""
    return next((path for path in files.paths if not path.exists()), None)


def file_set(root: Path, names: Iterable[str]) -> FileSet:
    """The files of these paths below a root, sorted."""
    ordered = tuple(sorted(names))
    return FileSet(names=ordered, paths=tuple(root / name for name in ordered))
