"""Exported runs: what their zips may hold, and how one is opened as a run's folder."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from ganvas.engine.portable import mark, own_folders
from ganvas.engine.untrusted import record_fault
from ganvas.engine.zips import MANIFEST, HostileZipError, unpack
from ganvas.errors import RunError
from ganvas.tracking.files import read_run_json

CONFIG = "config.yaml"
CARD = "README.md"
MAX_DEPTH = 100
NEEDED = (CONFIG, "run.json")
PICTURE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}-\d{8}\.png"
"""A picture that training wrote, in `samples/`."""
FORMER_CONFIG = r"config-until-\d{1,12}\.yaml"

ALLOWED = re.compile(
    rf"config\.yaml|{FORMER_CONFIG}|overrides\.yaml|run\.json|metrics\.csv|trace\.csv|(?:git|ganvas)\.diff"
    rf"|README\.md|samples/{PICTURE}|checkpoints/(?:best|last)\.safetensors",
    re.ASCII,
)
"""All names of files in an export but for the manifest's; no pickle among them."""


@dataclass(frozen=True)
class Place:
    """Where a run is.

    Attributes:
        folder: laid out as a run's.
        archive: the zip that it was unpacked from; None for a run's own folder.
    """

    folder: Path
    archive: Path | None = None

    @property
    def shown(self) -> Path:
        """What the user named."""
        return self.archive or self.folder

    def file(self, subfolder: str, name: str) -> Path:
        """Of something drawn: inside a run's own folder, or else beside the zip."""
        if self.archive is None:
            return self.folder / subfolder / name
        return self.archive.with_name(f"{self.archive.stem}-{name}")


def find_run(target: str | Path) -> Place:
    """The folder of a run, of which an exported zip is unpacked into the cache first.

    What is in a folder is not looked at.

    Raises:
        RunError: if it is a file, and no exported run.
    """
    path = Path(target).expanduser().resolve()
    if not path.is_file():
        return Place(path)
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise RunError(
                f"{path} is no run: give a run's folder, or a zip that `ganvas export` wrote"
            )
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    folder = Path(own_folders()["cache_dir"]) / "exports" / digest
    if not folder.is_dir():
        _open(path, folder)
    if lost := [name for name in (*NEEDED, MANIFEST) if not (folder / name).is_file()]:
        raise RunError(f"{folder} has lost its {lost[0]}; remove the folder, it is made again")
    return Place(folder, path)


def _open(archive: Path, folder: Path) -> None:
    """Unpack beside the folder, check, rename; another process may do the same meanwhile."""
    with _beside(folder) as temporary:
        unpack(archive, temporary, allowed=ALLOWED, needed=NEEDED)
        _check(archive, temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another one was faster, with the same files
                raise


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder in the same place, gone afterwards unless it was renamed.

    Raises:
        RunError: if it can't be made or filled.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise RunError(
            f"an exported run is unpacked into {folder.parent}, which can't be written "
            f"({error.strerror or error}); name another folder in GANVAS_CACHE_DIR"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(archive: Path, folder: Path) -> None:
    """What the readers of a run's folder rely on, since this one may come from anybody.

    Raises:
        RunError: if something is not as `ganvas export` writes it.
    """
    try:
        for file in folder.glob("*.yaml"):
            if fault := _yaml_fault(file.read_text(encoding="utf-8")):
                raise _odd(archive, f"{file.name} {fault}")
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        if fault := record_fault(read_run_json(folder)):
            raise _odd(archive, fault)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise _odd(archive, f"a file can't be read ({type(error).__name__})") from error
    except HostileZipError:
        raise
    except RunError as error:
        raise _odd(archive, str(error).replace(f"{folder}{os.sep}", "")) from error
    paths = config.get("paths") if isinstance(config, dict) else None
    if not isinstance(paths, dict) or paths != {name: mark(name) for name in own_folders()}:
        raise _odd(archive, f"{CONFIG} names folders in `paths`")


def _yaml_fault(text: str) -> str | None:
    """Why a YAML that is small might become large, or keep its readers busy."""
    depth = 0
    for event in yaml.parse(text):
        if isinstance(event, yaml.AliasEvent):
            return "has aliases"
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return "is nested too deep"
    return None


def _odd(archive: Path, what: str) -> HostileZipError:
    return HostileZipError(f"{archive} is no exported run, or damaged: {what}; get it again")
