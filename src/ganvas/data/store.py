"""The decoded images on disk: written once, atomically, and memory-mapped ever after.

A store is one folder, `<cache>/datasets/<key>/`, with `{train,test}-{images,labels}.npy` and
`meta.json`. Its key is made of the content of the raw files and of everything that happens to
them, so a store never has to be updated: a changed file leads to another key. It is written in a
temporary folder beside it and renamed when complete; an interrupted decode therefore leaves no
store, and the next one starts clean.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganvas.data.content import Decoded, file_lock, writing_to
from ganvas.errors import DataError, GanvasWarning
from ganvas.types import ImageShape

DECODE_VERSION = 1
"""Part of every key: raise it when the same files would be decoded to other pixels."""

IN_MEMORY_BYTES = 256 * 2**20
"""Stores up to this size are read and verified whole; larger ones are memory-mapped."""

StoredSplit = Literal["train", "test"]
SPLITS: tuple[StoredSplit, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class Store:
    """Decoded images, ready to be batched.

    Attributes:
        train: images and labels of the training split.
        test: of the test split; zero images where the source has none.
        skipped: one line for each file that was left out.
    """

    train: Decoded
    test: Decoded
    skipped: tuple[str, ...]

    @property
    def num_classes(self) -> int | None:
        """Highest training label + 1, or None without labels."""
        labels = self.train.labels
        return None if labels is None else int(labels.max()) + 1


def open_store(
    folder: Path | None, *, image_shape: ImageShape, decode: Callable[[StoredSplit], Decoded]
) -> Store:
    """The store in `folder`, decoded first where it is absent or damaged.

    Args:
        folder: of the store; None decodes into memory and keeps nothing.
        image_shape: that every image must have.
        decode: reads a split from the raw files.

    Raises:
        DataError: the raw files are bad, or the cache can't be written.
    """

    def checked(split: StoredSplit) -> Decoded:
        return _check(decode(split), split=split, image_shape=image_shape)

    if folder is None:
        train, test = (checked(split) for split in SPLITS)
        return Store(train=train, test=test, skipped=train.skipped + test.skipped)
    found = _find(folder, image_shape=image_shape)
    if found is not None:
        return found
    with file_lock(folder.parent / f"{folder.name}.lock"):
        found = _find(folder, image_shape=image_shape)  # another process may have been faster
        if found is None:
            _build(folder, decode=checked)
            found = _load(folder, image_shape=image_shape)
    return found


class _DamagedError(Exception):
    """The store isn't what its record says."""


def _find(folder: Path, *, image_shape: ImageShape) -> Store | None:
    """The store, or None where there is none or it is damaged (said in a warning)."""
    if not folder.exists():
        return None
    try:
        return _load(folder, image_shape=image_shape)
    except _DamagedError as damage:
        text = f"{folder}: damaged cache ({damage}); it is built again"
        warnings.warn(text, GanvasWarning, stacklevel=2)
        return None


def _load(folder: Path, *, image_shape: ImageShape) -> Store:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays, skipped = meta["arrays"], tuple(meta["skipped"])
        whole = sum(entry["bytes"] for entry in arrays.values()) <= IN_MEMORY_BYTES
        parts = {name: _load_array(folder, name, arrays[name], whole=whole) for name in arrays}
        train, test = (
            Decoded(images=parts[f"{split}-images"], labels=parts.get(f"{split}-labels"))
            for split in SPLITS
        )
        _check(train, split="train", image_shape=image_shape)
        _check(test, split="test", image_shape=image_shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
    return Store(train=train, test=test, skipped=skipped)


def _load_array(folder: Path, name: str, entry: dict[str, Any], *, whole: bool) -> np.ndarray:
    """One array, compared with its record: size always, checksum where it is read whole."""
    path = folder / f"{name}.npy"
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise _DamagedError(f"{path.name} has {size} bytes instead of {entry['bytes']}")
    if not whole:
        # copy-on-write, so that torch may wrap the pages without a warning; nothing writes to them
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    array: np.ndarray = np.load(path, allow_pickle=False)
    if _checksum(array) != entry["crc32"]:
        raise _DamagedError(f"{path.name} has another checksum")
    return array


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def _build(folder: Path, *, decode: Callable[[StoredSplit], Decoded]) -> None:
    """Decode into a temporary sibling and rename; the caller holds the lock."""
    for stale in folder.parent.glob(f"{folder.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)  # left by a process that was killed
    temporary = folder.with_name(f"{folder.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        with writing_to(folder.parent):
            temporary.mkdir()
        meta: dict[str, Any] = {"version": DECODE_VERSION, "arrays": {}, "skipped": []}
        for split in SPLITS:
            decoded = decode(split)
            with writing_to(folder.parent):
                _save_split(temporary, decoded, split=split, meta=meta)
        with writing_to(folder.parent):
            _sync_write(temporary / "meta.json", json.dumps(meta, indent=1))
            _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save_split(folder: Path, decoded: Decoded, *, split: str, meta: dict[str, Any]) -> None:
    meta["skipped"] += decoded.skipped
    arrays = {f"{split}-images": decoded.images, f"{split}-labels": decoded.labels}
    for name, array in arrays.items():
        if array is None:
            continue
        path = folder / f"{name}.npy"
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        checksum = _checksum(array)
        meta["arrays"][name] = {"bytes": path.stat().st_size, "crc32": checksum}


def _sync_write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _publish(temporary: Path, folder: Path) -> None:
    """Put the finished folder in place of an absent or damaged one."""
    if folder.exists():
        damaged = folder.with_name(f"{folder.name}.tmp-{uuid.uuid4().hex[:8]}")
        folder.replace(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        temporary.replace(folder)
    except OSError:
        if not folder.exists():  # otherwise another process without locks has won: same content
            raise


def _check(decoded: Decoded, *, split: str, image_shape: ImageShape) -> Decoded:
    """What a source promised: uint8 (or float) `(N, C, H, W)`, one label each, not below 0."""
    images, labels = decoded.images, decoded.labels
    if images.dtype not in (np.uint8, np.float32) or images.shape[1:] != image_shape:
        raise DataError(
            f"{split} images must be uint8 (N, {', '.join(map(str, image_shape))}), or float32 in "
            f"[0, 1], got {images.dtype} {images.shape}; correct the source's read()"
        )
    if images.dtype == np.float32 and not ((images >= 0) & (images <= 1)).all():
        raise DataError(f"{split} images of float32 must be in [0, 1]; correct the source's read()")
    if labels is None:
        return Decoded(np.ascontiguousarray(images), None, decoded.skipped)
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{split} labels must be integers ({len(images)},), got {labels.dtype} "
            f"{labels.shape}; give one label per image or none at all"
        )
    if len(labels) and int(labels.min()) < 0:
        raise DataError(f"{split} labels must be at least 0, got {labels.min()}; renumber them")
    whole = labels.astype(np.int64, copy=False)
    return Decoded(np.ascontiguousarray(images), np.ascontiguousarray(whole), decoded.skipped)
