"""`ganvas export RUN out.zip`: a run in one file that others can open, sample and reproduce."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ganvas.engine.archive import CARD, CONFIG, FORMER_CONFIG, PICTURE, Place
from ganvas.engine.card import card
from ganvas.engine.checkpoint_files import HASHES, checkpoint_path, read_checkpoint
from ganvas.engine.content_hash import content_hash
from ganvas.engine.portable import foreign_paths, hide_folders, mark, without_folders
from ganvas.engine.weights_files import SUFFIX, weights_bytes
from ganvas.engine.zips import write_zip
from ganvas.errors import ConfigError, RunError
from ganvas.tracking.files import read_run_json, yaml_bytes
from ganvas.tracking.lock import holder
from ganvas.tracking.provenance import DIFF_FILE
from ganvas.tracking.redact import redact, redact_text

CHECKPOINTS = {"both": ("best", "last"), "best": ("best",), "last": ("last",), "none": ()}
TABLES = ("metrics.csv", "trace.csv")
_ABSOLUTE = re.compile(r"""(?<![\w.~>/…:-])/(?:[^\s/'",:]+/)+([^\s/'",:]+/[^\s/'",:]+)""")
"""A path, of which two parts are told."""
DIFFS = (DIFF_FILE, "ganvas.diff")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: the zip.
        weights: names of the files of weights in it, with step and hash.
        foreign: `key=path` of each path of this machine that the config can't do without.
    """

    file: Path
    weights: Mapping[str, Mapping[str, Any]]
    foreign: tuple[str, ...]


def export(
    place: Place,
    out: str | Path | None = None,
    *,
    checkpoint: str = "both",
    overwrite: bool = False,
) -> Exported:
    """Write a run into one zip, whole or not at all; the same run gives the same bytes.

    Args:
        place: of the run.
        out: the zip; None for `<name>-<id>.zip` in the working folder.
        checkpoint: "both", "best", "last" or "none".
        overwrite: whether a file of that name is replaced.

    Raises:
        ConfigError: if the zip can't be called that.
        RunError: if the run is in use, or something can't be read or written.
    """
    record = read_run_json(place.folder)
    if checkpoint not in CHECKPOINTS:
        raise ConfigError(f"checkpoint must be one of {', '.join(CHECKPOINTS)}, got {checkpoint!r}")
    target = _target(out, record, overwrite=overwrite)
    if (process := holder(place.folder)) is not None:
        raise RunError(f"{place.shown} is in use by process {process}; export it when that ends")
    config, foreign = _config(place.folder / CONFIG)
    weights = dict(_weights(place.folder, record, CHECKPOINTS[checkpoint]))
    told = {name: note for name, (_, note) in weights.items()}
    hide = _Hider(place.folder)
    clean = hide(redact(record))
    files: dict[str, bytes | Path] = dict(_texts(place.folder, hide))
    files |= {name: place.folder / name for name in TABLES if (place.folder / name).is_file()}
    files |= {f"samples/{file.name}": file for file in _pictures(place.folder)}
    files |= {name: content for name, (content, _) in weights.items()}
    files |= {CONFIG: yaml_bytes(config), "run.json": _json(clean)}
    shown = card(
        clean, config, name=_name(record), weights=told, foreign=foreign, files=sorted(files)
    )
    files[CARD] = shown.encode()
    try:
        write_zip(target, files, note={"run": clean["id"]})
    except OSError as error:
        raise RunError(f"{target}: can't be written ({error.strerror or error})") from error
    return Exported(target, told, foreign)


def _name(record: Mapping[str, Any]) -> str:
    """Of the zip, unless the user chose another."""
    name = re.sub(r"[^\w.-]+", "-", str(record.get("name") or "run"))
    return f"{name}-{record['id']}.zip"


def _target(out: str | Path | None, record: Mapping[str, Any], *, overwrite: bool) -> Path:
    """The zip's path.

    Raises:
        ConfigError: if it can't be called that, or is there.
    """
    file = Path(out).expanduser() if out is not None else Path(_name(record))
    if file.suffix.lower() != ".zip":
        raise ConfigError(f"out: must be a file that ends in .zip, got {str(file)!r}")
    if file.is_dir():
        raise ConfigError(f"out: {file} is a folder; name a file in it")
    if file.exists() and not overwrite:
        raise ConfigError(f"out: {file} is there; add overwrite=true, or choose another name")
    if not file.parent.is_dir():
        raise ConfigError(f"out: there is no folder {file.parent}; make it, or choose another")
    return file.absolute()


def _config(file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The frozen config as it goes out, and which paths are left in it.

    Raises:
        RunError: if it can't be read.
    """
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error
    if not isinstance(config, dict):
        raise RunError(f"{file} is damaged: it holds no mapping; restore it")
    clean = redact(without_folders(config))
    return clean, tuple(foreign_paths(clean))


def _texts(folder: Path, hide: _Hider) -> Iterator[tuple[str, bytes]]:
    """Overrides, configs from before changes, and the diff, without secrets."""
    overrides = folder / "overrides.yaml"
    if overrides.is_file():
        typed = yaml.safe_load(overrides.read_text(encoding="utf-8")) or []
        yield overrides.name, yaml_bytes([hide(str(text)) for text in typed])
    for file in sorted(folder.glob("config-until-*.yaml")):
        if re.fullmatch(FORMER_CONFIG, file.name):
            yield file.name, yaml_bytes(_config(file)[0])
    for diff in filter(Path.is_file, (folder / name for name in DIFFS)):
        text = diff.read_bytes().decode(errors="surrogateescape")
        yield diff.name, redact_text(text).encode(errors="surrogateescape")


def _pictures(folder: Path) -> list[Path]:
    found = (file for file in (folder / "samples").glob("*.png") if not file.is_symlink())
    return sorted(file for file in found if re.fullmatch(PICTURE, file.name))


def _weights(
    folder: Path, record: Mapping[str, Any], wanted: tuple[str, ...]
) -> Iterator[tuple[str, tuple[bytes, dict[str, Any]]]]:
    """Content of each file of weights, and what it is; no best where none was selected.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    for which in wanted:
        file = checkpoint_path(folder, which)
        if file.stem == "last" and which == "best" and len(wanted) > 1:
            continue
        checkpoint = read_checkpoint(file)
        content = weights_bytes(checkpoint, config_hash=str(record["config_hash"]), path=file)
        sha256 = (checkpoint.get(HASHES) or {}).get("weights") or content_hash(
            checkpoint["state_dict"]
        )
        counters = checkpoint["ganvas_counters"]
        note = {key: counters[key] for key in ("step", "images_seen")} | {"sha256": sha256}
        yield f"checkpoints/{file.stem}{SUFFIX}", (content, note)


class _Hider:
    """Takes secrets and folders of this machine out of a record.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        paths = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")).get("paths") or {}
        named = {str(value): mark(name) for name, value in paths.items()}
        self._known = {str(Path.home()): "~", **named, str(folder): "<run>"}

    def __call__(self, node: Any) -> Any:
        """Nested containers, or a text."""
        if isinstance(node, Mapping):
            return {key: self(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self(value) for value in node]
        if not isinstance(node, str):
            return node
        return _ABSOLUTE.sub(r"…/\1", redact_text(hide_folders(node, self._known)))


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
