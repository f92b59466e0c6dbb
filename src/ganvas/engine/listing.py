"""`ganvas list`: what there is to choose from, read from the first line of each YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganvas.engine.compose import options, suggest
from ganvas.errors import ConfigError
from ganvas.paths import config_dir

GROUPS = {
    "models": "model",
    "datasets": "dataset",
    "losses": "loss",
    "networks": "network",
    "likelihoods": "likelihood",
    "optimizers": "optimizer",
    "trainers": "trainer",
    "loggers": "logger",
    "experiments": "experiment",
}


def list_options(kind: str, *, search: Sequence[str | Path] = ()) -> list[tuple[str, str]]:
    """Name and one line of every option of a kind.

    Raises:
        ConfigError: for a kind that does not exist.
    """
    if kind not in GROUPS:
        raise ConfigError(f"list {kind}: no such list{suggest(kind, list(GROUPS))}")
    group = GROUPS[kind]
    folders = [config_dir(), *(Path(p) for p in search)]
    found = []
    for name in options(group, search=search):
        file = next(f for d in folders if (f := d / group / f"{name}.yaml").is_file())
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        found.append((name, first.lstrip("# ").strip() if first.startswith("#") else ""))
    return found
