"""A drawing on disk: the picture, its animation, and the text that says what they are."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image
from torch import Tensor

from ganvas.data.tensor_file import write_whole
from ganvas.errors import ConfigError, RunError
from ganvas.tracking.files import read_run_json

if TYPE_CHECKING:
    from ganvas.engine.latent import Bench
    from ganvas.latent.sheet import Picture
    from ganvas.latent.tool import Drawing

SAID_ELSEWHERE = {
    *("run", "checkpoint", "images"),
    *("out", "log", "accelerator", "paths", "full_error", "trust"),
}
"""Settings that the text says in other words, and those that have no part in a picture."""

NO_PART = ("command", "folder", "values")
"""Keys of the text that the name of the picture does not depend on."""

NEAR_WHITE = 248
"""Least channel of colours that Pillow, which rounds to 4 levels, may take in white's place."""


@dataclass(frozen=True)
class Made:
    """A picture on disk, and what it shows.

    Attributes:
        path: of the PNG; the text is beside it, with the suffix `.yaml`.
        animation: the GIF, where the tool makes one.
        values: what was measured on the way, by name.
        tensors: what the picture shows, by name.
        pixels: of the picture, uint8 `(H, W, 3)`.
    """

    path: Path
    animation: Path | None
    values: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    pixels: np.ndarray

    def _repr_png_(self) -> bytes:
        """Notebooks show the picture."""
        return self.path.read_bytes()


def check_out(out: str | None) -> None:
    """A picture can be called that, and what stands beside it is no file of the user's own.

    Raises:
        ConfigError: if not.
    """
    if out is None:
        return
    path = Path(out).expanduser()
    if path.suffix.lower() != ".png":
        raise ConfigError(f"out: must be a file that ends in .png, got {out!r}")
    if path.is_dir():
        raise ConfigError(f"out: {path} is a folder; name a file in it")
    text = path.with_suffix(".yaml")
    if text.is_file() and not text.read_bytes().startswith(b"command:"):
        raise ConfigError(f"out: the text beside the picture would replace {text}; choose another")
    animation = path.with_suffix(".gif")
    if animation.exists() and not text.is_file():  # an earlier one of ours has a text
        raise ConfigError(f"out: an animation would replace {animation}; choose another")


def write(bench: Bench, drawing: Drawing, *, images: Any, command: Sequence[str]) -> Made:
    """Picture, animation and text; each whole or not at all, and the picture last.

    Args:
        bench: the run.
        drawing: of the tool.
        images: that were given, as `ganvas.latent.inputs.records` has them.
        command: the overrides, for the text.

    Raises:
        RunError: if they can't be written.
        ValueError: if the drawing holds NaN.
    """
    footer = _footer(bench, drawing)
    text = _text(bench, drawing, images=images, command=command)
    out = _out(bench, text)
    pixels = drawing.picture.render(footer)
    files = {out.with_suffix(".yaml"): _yaml(text)}
    animation = out.with_suffix(".gif") if drawing.frames else None
    if animation is not None:
        files[animation] = _gif(drawing.frames, footer, seconds=drawing.seconds)
    files[out] = _png(pixels)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            write_whole(file, content)
    except OSError as error:
        raise RunError(
            f"out={out}: can't be written ({error.strerror}); choose another file by out=…"
        ) from error
    return Made(out, animation, text["values"], drawing.tensors, pixels)


def _footer(bench: Bench, drawing: Drawing) -> list[str]:
    """The small print: whose picture this is, and what became of the images."""
    run = f"{read_run_json(bench.folder)['name']}/{bench.place.shown.name}"
    used = bench.weights
    weights = [] if used is None else [f"{used.file.name} (step {used.step})"]
    drawn = [] if bench.given_prior is None else [f"codes of prior={bench.given_prior}"]
    return [" · ".join([run, *weights, f"seed {bench.settings.seed}", *drawn]), *drawing.notes]


def _text(bench: Bench, drawing: Drawing, *, images: Any, command: Sequence[str]) -> dict[str, Any]:
    """What is written beside the picture: seeds, inputs, checkpoint, and how to make it again."""
    used = bench.weights
    return {
        "command": shlex.join(["ganvas", "latent", str(bench.place.shown), *command]),
        "folder": str(Path.cwd()),
        "run": bench.place.shown.name,
        "checkpoint": None
        if used is None
        else {"file": used.file.name, "step": used.step, "sha256": used.sha256},
        **bench.settings.model_dump(exclude=SAID_ELSEWHERE),
        "images": images,
        "inputs": list(drawing.inputs),
        "notes": list(drawing.notes),
        "values": {name: _plain(value) for name, value in drawing.values.items()},
    }


def _plain(value: Any) -> Any:
    """A number or a text that YAML can hold."""
    plain = value.item() if isinstance(value, Tensor | np.generic) else value
    return plain if isinstance(plain, bool | int | float | str | None) else str(plain)


def _out(bench: Bench, text: Mapping[str, Any]) -> Path:
    """The PNG: as asked for, or named by the tool, the checkpoint and a digest of all options."""
    if bench.settings.out:
        return Path(bench.settings.out).expanduser()
    kept = {key: value for key, value in text.items() if key not in NO_PART}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
    weights = [] if bench.weights is None else [bench.weights.file.stem]
    name = "-".join([bench.tool.name, *weights, digest[:8]]) + ".png"
    return bench.place.file("latent", name)


def _png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def _yaml(text: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(text), sort_keys=False, allow_unicode=True, width=100).encode()


def _gif(frames: Sequence[Picture], footer: Sequence[str], *, seconds: float) -> bytes:
    """The frames in an endless loop, in the same colours, so that what stays takes no room."""
    palette = _palette([frame.render(footer) for frame in frames[:: -(-len(frames) // 8)]])
    plain = Image.Dither.NONE
    drawn = (  # one at a time, since all of them may be gigabytes
        Image.fromarray(frame.render(footer)).quantize(palette=palette, dither=plain)
        for frame in frames
    )
    first = next(drawn)
    buffer = BytesIO()
    duration = round(1000 * seconds)
    first.save(buffer, "gif", save_all=True, append_images=drawn, duration=duration, loop=0)
    return buffer.getvalue()


def _palette(pictures: Sequence[np.ndarray]) -> Image.Image:
    """256 colours of pictures `(H, W, 3)` of any size; white, the ground, stays white."""
    pixels = np.concatenate([picture.reshape(1, -1, 3) for picture in pictures], axis=1)
    colours = np.reshape(Image.fromarray(pixels).quantize(255).getpalette() or [], (-1, 3))
    apart = colours[colours.min(1) < NEAR_WHITE]
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *apart.flatten().tolist()])
    return palette
