"""Folders of one machine in a record that goes to another: named, not spelt out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ganvas.paths import config_dir

_MARK = re.compile(r"<paths\.(\w+)>")


def mark(name: str) -> str:
    """What stands for the folder `paths.<name>`; `config_hash` has the same."""
    return f"<paths.{name}>"


def without_folders(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose folders in `paths`, and strings that begin with one, hold marks; same hash."""
    paths = config.get("paths") or {}
    named = {str(folder): mark(name) for name, folder in paths.items() if folder}
    longest_first = sorted(named.items(), key=lambda item: -len(item[0]))

    def moved(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {key: moved(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [moved(value) for value in node]
        if isinstance(node, str):
            for folder, sign in longest_first:
                if node == folder or node.startswith(folder.rstrip("/") + "/"):
                    return sign + node[len(folder.rstrip("/")) :]
        return node

    return dict(moved(config))


def with_own_folders(node: Any) -> Any:
    """A config, or a part, in which marks have become the folders of this machine."""
    if isinstance(node, Mapping):
        return {key: with_own_folders(value) for key, value in node.items()}
    if isinstance(node, list):
        return [with_own_folders(value) for value in node]
    found = _MARK.match(node) if isinstance(node, str) else None
    if found is None or found[1] not in own_folders():
        return node
    return own_folders()[found[1]] + node[found.end() :]


def own_folders() -> dict[str, str]:
    """`paths` as this machine has them by environment or default, absolute."""
    config = OmegaConf.create({"paths": OmegaConf.load(_file())})
    found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {
        name: str(Path(folder).expanduser().absolute()) for name, folder in found["paths"].items()
    }


@cache
def _file() -> Path:
    return config_dir() / "paths" / "default.yaml"


def hide_folders(text: str, folders: Mapping[str, str]) -> str:
    """A text in which folders, the longest first, are replaced where they stand as a path.

    Args:
        text: any.
        folders: what to write, by folder.
    """
    for folder, sign in sorted(folders.items(), key=lambda item: -len(item[0])):
        if len(Path(folder).parts) > 1:  # `/` itself is everywhere
            parts = re.split(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])", text)
            text = sign.join(parts)
    return text


def foreign_paths(node: Any, key: str = "") -> Iterator[str]:
    """`key=path` for each absolute path that is left."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from foreign_paths(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for value in node:
            yield from foreign_paths(value, key)
    elif isinstance(node, str) and (node.startswith("/") or re.match(r"[A-Za-z]:[\\/]", node)):
        yield f"{key}={node}"
