"""`run.latent`: the tools of `ganvas latent` as methods, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ganvas.engine.command import as_override, command_settings
from ganvas.engine.compose import options, suggest
from ganvas.engine.latent import draw
from ganvas.engine.notices import plain_notices
from ganvas.engine.settings import LatentSettings
from ganvas.errors import ConfigError
from ganvas.paths import config_dir

if TYPE_CHECKING:
    from ganvas.engine.drawn import Made


class Latent:
    """The tools of `ganvas latent` on one run, each a method: `run.latent.interpolate(steps=5)`.

    Args:
        folder: of the run.
        trust: your own modules that its config may name.
    """

    def __init__(self, folder: Path, *, trust: Sequence[str] = ()) -> None:
        self._folder, self._trust = folder, tuple(trust)

    def __dir__(self) -> list[str]:
        return ["draw", *options("tool")]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in options("tool"):
            raise AttributeError(f"no such tool: {name}{suggest(name, options('tool'))}")
        method = partial(self.draw, name)
        file = config_dir() / "tool" / f"{name}.yaml"  # none of a tool from a folder of one's own
        options_text = file.read_text(encoding="utf-8") if file.is_file() else ""
        method.__doc__ = f"{options_text}\n{self.draw.__doc__}"  # a notebook shows it for `?`
        return method

    def draw(
        self,
        tool: str,
        *,
        images: Any = None,
        config_dir: str | Path | None = None,
        **chosen: Any,
    ) -> Made:
        """Draw with one tool.

        Args:
            tool: its name, as in `ganvas list tools`.
            images: positions in the split, files, folders, Pillow images, or tensors or arrays
                `(C, H, W)` or `(N, C, H, W)` in [0, 1]; one of them or a list; "random" for random
                codes.
            config_dir: a folder with more config groups, such as a `tool` of your own.
            chosen: keys of `conf/latent.yaml` (`seed=1`) and options of the tool (`steps=5`).

        Returns:
            The picture and what it shows.

        Raises:
            GanvasError: see `ganvas.engine.latent.draw`.
        """
        typed = [] if config_dir is None else [f"--config-dir={config_dir}"]
        typed += [f"tool={tool}", *(_typed(key, value) for key, value in chosen.items())]
        if self._trust and "trust" not in chosen:
            typed.append(f"trust={as_override(self._trust)}")
        images = _plain(images)
        items = list(images) if isinstance(images, list | tuple) else [images]
        given, origin = None, []
        if all(isinstance(item, int | float | str | Path | None) for item in items):
            typed.append(f"images={as_override(images)}")
        else:  # they can't be written down, so the text's command asks for them
            given, origin = items, ["images=???"]
        settings = command_settings(LatentSettings, "latent", str(self._folder), typed)
        with plain_notices():
            return draw(settings, given=given, command=[*typed, *origin])


def _typed(key: str, value: Any) -> str:
    """One argument as on the command line.

    Raises:
        ConfigError: for a value that can't be written down.
    """
    group, _, option = key.partition(".")
    known = group in LatentSettings.model_fields and group not in ("tool", "run")
    name = key if known else f"tool.{key}"
    if group in ("prior", "features") and not option:
        return f"{name}={value}"
    try:
        return f"{name}={as_override(_plain(value))}"
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _plain(value: Any) -> Any:
    """Whole numbers as notebooks have them, of NumPy, of PyTorch or a range, as Python's own."""
    if isinstance(value, range):
        return list(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | Tensor) and value.ndim < 2:  # noqa: PLR2004
        return value.tolist()
    return value
