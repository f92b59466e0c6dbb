"""`run.latent`: the tools of `ganvas latent` as methods, for notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.command import command_settings
from ganvas.engine.compose import options, suggest
from ganvas.engine.latent import draw
from ganvas.engine.notices import plain_notices
from ganvas.engine.settings import LatentSettings

if TYPE_CHECKING:
    from ganvas.engine.drawn import Made


class Latent:
    """The tools of `ganvas latent` on one run, each a method: `run.latent.interpolate(steps=5)`.

    Args:
        folder: of the run.
        trust: your own modules that its config may name.
        config_dir: a folder with more config groups.
    """

    def __init__(self, folder: Path, *, trust: Sequence[str] = ()) -> None:
        self._folder, self._trust = folder, tuple(trust)

    def __dir__(self) -> list[str]:
        return options("tool")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in options("tool"):
            raise AttributeError(f"no such tool: {name}{suggest(name, options('tool'))}")
        return partial(self.draw, name)

    def draw(self, tool: str, *, images: Any = None, **chosen: Any) -> Made:
        """Draw with one tool.

        Args:
            tool: its name, as in `ganvas list tools`.
            images: positions in the split, files, folders, Pillow images, or tensors
                `(C, H, W)` or `(N, C, H, W)` in [0, 1]; "random" for random codes.
            chosen: keys of `conf/latent.yaml` (`seed=1`) and options of the tool (`steps=5`).

        Returns:
            The picture and what it shows.

        Raises:
            GanvasError: see `ganvas.engine.latent.draw`.
        """
        top = set(LatentSettings.model_fields)
        groups = ("prior", "features")
        typed = [f"tool={tool}"]
        for key, value in chosen.items():
            whole = key in top and key not in ("tool", "run")
            name = key if whole else f"tool.{key}"
            typed.append(f"{name}={value if key in groups else _as_override(value)}")
        items = images if isinstance(images, list | tuple) else [images]
        if all(isinstance(item, int | str | Path) for item in items):  # they can be written down
            typed.append(f"images={_as_override(images)}")
            images = None
        given = None if images is None else list(items)
        settings = command_settings(LatentSettings, "latent", str(self._folder), typed)
        settings = settings.model_copy(update={"trust": [*settings.trust, *self._trust]})
        with plain_notices():
            return draw(settings, given=given, command=typed)


def _as_override(value: Any) -> str:
    """A Python value in Hydra's grammar: JSON with its strings quoted, keys bare."""
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_as_override(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_as_override, value)) + "]"
    return json.dumps(value)
