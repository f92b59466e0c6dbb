"""The typed section of a search, and where its study is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ganvas.engine.settings import NonNegative, Positive, Section, Seed
from ganvas.errors import ConfigError

SWEEPER = "hydra_plugins.ganvas_sweeps.optuna_sweeper.OptunaSweeper"
STUDY_FILE = "study.log"
SQLITE = "sqlite:///"
MAX_OBJECTIVES = 2
JOURNALS = (".log", ".journal")

Direction = Literal["minimize", "maximize"]


def _listed(value: Any) -> Any:
    """One name stands for a list of one."""
    return [value] if isinstance(value, str) else value


def _metrics(value: Any) -> Any:
    names = _listed(value)
    if isinstance(names, list) and len(names) not in (1, MAX_OBJECTIVES):
        raise ValueError(f"must be one metric, or a list of two, got {len(names)}")
    return names


class Pruning(Section):
    """How poor trials are found; what is counted are validations."""

    startup_trials: NonNegative = 5
    warmup: NonNegative = 3
    min_validations: Positive = 1
    max_validations: Positive | None = None
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class SearchSettings(Section):
    """`conf/hydra/sweeper/optuna.yaml`, less its target."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    seed: Seed = 0
    num_trials: Positive | None = None
    metric: Annotated[list[str] | None, BeforeValidator(_metrics)] = None
    direction: Annotated[list[Direction | None] | None, BeforeValidator(_listed)] = None
    storage: str | None = None
    study_name: str | None = None
    pruner: Literal["none", "median", "halving", "hyperband"] | None = None
    pruning: Pruning = Pruning()
    params: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """Where a study is kept.

    Attributes:
        file: a journal or a sqlite database, absolute.
        sqlite: which of the two.
    """

    file: Path
    sqlite: bool

    @classmethod
    def named(cls, text: str | None, folder: Path) -> Storage:
        """From what was typed; None for a journal in the sweep's folder.

        Raises:
            ConfigError: it is neither a journal's path nor a sqlite address, or can't be written.
        """
        if text is None:
            return cls(folder / STUDY_FILE, sqlite=False)
        sqlite = text.startswith(SQLITE)
        place = text.removeprefix(SQLITE)
        odd = not place or ":memory:" in place or "?" in place  # options of the address, not a name
        if odd or not (sqlite or place.endswith(JOURNALS)):
            raise ConfigError(
                f"hydra.sweeper.storage={text}: must be a journal's path (*.log, *.journal) or "
                "sqlite:///FILE"
            )
        storage = cls(Path(place).expanduser().absolute(), sqlite=sqlite)
        storage._check(text)
        return storage

    def _check(self, text: str) -> None:
        target = self.file if self.file.exists() else self.file.parent
        wrong = None
        if self.file.is_dir():
            wrong = "is a folder; name a file"
        elif not target.exists():
            wrong = f"there is no folder {target}; make it first"
        elif not os.access(target, os.W_OK):
            wrong = f"{target} can't be written; name another place"
        if wrong:
            raise ConfigError(f"hydra.sweeper.storage={text}: {wrong}")

    @property
    def text(self) -> str:
        """As it would be typed, absolute."""
        return f"{SQLITE}{self.file}" if self.sqlite else str(self.file)
