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
    "penalties": "penalty",
    "networks": "network",
    "likelihoods": "likelihood",
    "features": "features",
    "metrics": "metrics",
    "priors": "prior",
    "tools": "tool",
    "corruptions": "corruption",
    "generator_conditions": "generator_condition",
    "critic_conditions": "critic_condition",
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
        found.append((name, _first_comment(file)))
    return found


def _first_comment(file: Path) -> str:
    """The first line of comment that is not Hydra's package header."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            return line.lstrip("# ").strip()
    return ""
