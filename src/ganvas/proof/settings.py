"""The options of `ganvas reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ganvas.engine.settings import OptionalPaths, Paths, Positive, Section


class Places(OptionalPaths):
    """Folders of `ganvas reproduce`; None stands for the run's own."""

    runs_dir: str | None = None

    def of_data(self) -> OptionalPaths:
        """Those that a run reads from."""
        return OptionalPaths(**self.model_dump(exclude={"runs_dir"}))


class ReproduceSettings(Section):
    """`conf/reproduce.yaml`."""

    run: str
    steps: Positive | None
    checkout: bool
    diff: bool | None
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    threads: Annotated[int, Field(ge=1, le=1024)] | None
    evaluations: bool
    init_from: str | None
    out: str | None
    paths: Places
    here: Paths
    full_error: bool
    trust: list[str]

    def places(self, recorded: dict[str, str]) -> Places:
        """Folders to use: as given, else as recorded where it exists, else this machine's."""
        chosen: dict[str, str] = {}
        for key, given in self.paths.model_dump().items():
            own = recorded.get(key) or ""
            there = bool(own) and Path(own).is_dir()
            chosen[key] = given or (own if there else getattr(self.here, key))
        return Places(**{k: str(Path(v).expanduser().absolute()) for k, v in chosen.items()})
