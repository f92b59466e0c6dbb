"""Zips: written the same from the same files, opened so that no entry does harm."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ganvas.errors import RunError

MANIFEST = "MANIFEST.json"
FORMAT_VERSION = 1

MAX_ENTRIES = 20_000
MAX_RATIO = 100
"""Of all content to the size of the zip; the tables of long runs reach 20."""
FREE_BYTES = 64 * 2**20
"""That a zip of any size may hold."""
MAX_TEXT_BYTES = {".json": 16 * 2**20, ".md": 2**20, ".yaml": 2**18}
"""Of a file that is read at once."""

_DATE = (1980, 1, 1, 0, 0, 0)
_PACKED = (".csv", ".diff", ".json", ".md", ".yaml")  # weights and pictures are dense as they are
_CHUNK = 2**20
_ENCRYPTED = 0x1


class HostileZipError(RunError):
    """A zip that no export wrote."""


def write_zip(target: Path, files: Mapping[str, bytes | Path], *, note: Mapping[str, Any]) -> None:
    """Write a zip and its manifest whole or not at all; the same bytes from the same content.

    Args:
        target: replaced where it exists.
        files: content, or the file that has it, by name in the zip.
        note: further fields of the manifest.

    Raises:
        OSError: if it can't be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    listed: dict[str, Any] = {}
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as made:
                for name in sorted(files):
                    listed[name] = _add(made, name, files[name])
                manifest = {"format_version": FORMAT_VERSION, **note, "files": listed}
                text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
                _add(made, MANIFEST, text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _add(made: zipfile.ZipFile, name: str, content: bytes | Path) -> dict[str, Any]:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3  # as on Unix, wherever it is made
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    packed = name.endswith(_PACKED)
    info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    digest, size = hashlib.sha256(), 0
    with made.open(info, "w") as entry:
        for chunk in _chunks(content):
            entry.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield from iter(lambda: file.read(_CHUNK), b"")


def unpack(source: Path, folder: Path, *, allowed: re.Pattern[str], needed: Iterable[str]) -> None:
    """Write the files of a zip into an empty folder, once names and sizes are known to be good.

    Args:
        source: the zip.
        folder: exists and is empty; what is in it after an error is to be thrown away.
        allowed: matches the names that files may have, in whole.
        needed: names that must be there.

    Raises:
        HostileZipError: if it holds anything that no export of ganvas has.
        RunError: if it is damaged, or can't be unpacked.
    """
    try:
        with zipfile.ZipFile(source) as opened:
            entries = _entries(opened, source, allowed)
            listed = _manifest(opened, entries, source)
            if missing := [name for name in needed if name not in listed]:
                raise HostileZipError(f"{source} is no exported run: it has no {missing[0]}")
            for name, wanted in listed.items():
                target = folder / name
                target.parent.mkdir(exist_ok=True)
                with target.open("xb") as file:
                    _copy(opened, entries[name], wanted, file, source)
            (folder / MANIFEST).write_bytes(opened.read(entries[MANIFEST]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise RunError(f"{source} is damaged or no zip ({error}); get it again") from error


def _entries(
    opened: zipfile.ZipFile, source: Path, allowed: re.Pattern[str]
) -> dict[str, zipfile.ZipInfo]:
    """All entries by name.

    Raises:
        HostileZipError: for the first that is not as an export's.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    infos = opened.infolist()
    if len(infos) > MAX_ENTRIES:
        raise _refusal(source, f"{len(infos):,} files")
    for info in infos:
        name = info.orig_filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not (allowed.fullmatch(name) and name == info.filename) and name != MANIFEST:
            raise _refusal(source, f"the entry {name[:80]!r}")
        plain = kind in (0, stat.S_IFREG) and not info.flag_bits & _ENCRYPTED
        if not plain or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _refusal(source, f"{name!r}, which is no plain file")
        if name.lower() in found:
            raise _refusal(source, f"{name!r} twice")
        if info.file_size > MAX_TEXT_BYTES.get(Path(name).suffix, info.file_size):
            raise _refusal(source, f"{info.file_size:,} bytes of {name}")
        found[name.lower()] = info
    size = sum(info.file_size for info in infos)
    if size > FREE_BYTES + MAX_RATIO * source.stat().st_size:
        raise _refusal(source, f"{size:,} bytes in {source.stat().st_size:,} (a zip bomb)")
    return {info.filename: info for info in found.values()}


def _refusal(source: Path, what: str) -> HostileZipError:
    return HostileZipError(
        f"{source} is no exported run: it holds {what}; nothing was unpacked (`ganvas export` "
        "writes zips that can be opened)"
    )


def _manifest(
    opened: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], source: Path
) -> dict[str, dict[str, Any]]:
    """What each file must be.

    Raises:
        HostileZipError: if it does not list exactly the files that are there.
    """
    if MANIFEST not in entries:
        raise HostileZipError(f"{source} is no exported run: it has no {MANIFEST}")
    with opened.open(entries[MANIFEST]) as file:
        text = file.read(MAX_TEXT_BYTES[".json"])
    try:
        content = json.loads(text)
        version, files = content["format_version"], dict(content["files"])
        listed = {
            str(k): {"bytes": int(v["bytes"]), "sha256": str(v["sha256"])} for k, v in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{source} is damaged: its {MANIFEST} can't be read; get it again"
        ) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise RunError(
            f"{source} has format_version {version}, this version reads up to {FORMAT_VERSION}; "
            "upgrade ganvas"
        )
    if odd := sorted(listed.keys() ^ (entries.keys() - {MANIFEST})):
        raise HostileZipError(
            f"{source} is no exported run, or damaged: {odd[0]!r} is only in one of the zip and "
            f"its {MANIFEST}"
        )
    return listed


def _copy(
    opened: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    wanted: Mapping[str, Any],
    file: IO[bytes],
    source: Path,
) -> None:
    """One file, counted and hashed as it comes: what the zip says of itself is not believed."""
    digest, size = hashlib.sha256(), 0
    with opened.open(info) as entry:
        while chunk := entry.read(_CHUNK):
            size += len(chunk)
            if size > info.file_size:
                break
            digest.update(chunk)
            file.write(chunk)
    if size != wanted["bytes"] or digest.hexdigest() != wanted["sha256"]:
        raise RunError(
            f"{source} is damaged: {info.filename} is not the file that was exported; get it again"
        )
