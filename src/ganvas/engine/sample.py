"""`ganvas sample RUN`: new images from a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganvas import pictures
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.runs import ModelView, load_run, pick_device
from ganvas.engine.settings import SampleSettings
from ganvas.errors import RunError
from ganvas.protocols import Conditional

BATCH = 256


def sample(settings: SampleSettings) -> Path:
    """Draw and write; the file or folder written.

    The images depend on the checkpoint, `n` and `seed` alone, not on the batches they are made in.

    Raises:
        GanvasError: if the run can't be used, its model draws no samples, or `out` not be written.
    """
    run = load_run(settings.run, trust=settings.trust)
    device = pick_device(settings.accelerator)
    view = run.load_model(settings.checkpoint, device=str(device))
    with torch.no_grad():
        codes = view.prior_codes(settings.n, seed=settings.seed)
        labels = view.class_labels(settings.n)
        images = torch.cat(
            [
                view.sample(len(z), noise=z, y=None if labels is None else labels[i : i + BATCH])
                for i, z in zip(range(0, settings.n, BATCH), codes.split(BATCH), strict=True)
            ]
        ).cpu()
    suffix = {"grid": ".png", "png": "", "npz": ".npz"}[settings.format]
    used = checkpoint_path(run.path, settings.checkpoint).stem
    name = f"drawn-{used}-n{settings.n}-seed{settings.seed}{suffix}"
    out = Path(settings.out).expanduser() if settings.out else run.path / "samples" / name
    try:
        _write(images, out, kind=settings.format, columns=_columns(len(images), view))
    except OSError as error:
        raise RunError(f"out={out}: can't be written ({error.strerror}); choose another") from error
    return out


def _columns(num: int, view: ModelView) -> int:
    """Of a grid about as wide as high; in that of a conditional model columns are classes."""
    near = int(np.ceil(np.sqrt(num)))
    if isinstance(view.module, Conditional):
        return pictures.columns_of_classes(num, num_classes=view.module.num_classes, near=near)
    return near


def _write(images: torch.Tensor, out: Path, *, kind: str, columns: int) -> None:
    if kind == "png":
        out.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(pictures.to_uint8(images)):
            pixels = image.transpose(1, 2, 0)
            Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
                out / f"{i:06d}.png"
            )
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "npz":
        with out.open("wb") as file:
            np.savez_compressed(file, images=pictures.to_uint8(images).transpose(0, 2, 3, 1))
    else:
        Image.fromarray(pictures.grid(images, columns=columns)).save(out)
