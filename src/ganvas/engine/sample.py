"""`ganvas sample RUN`: new images from a trained model."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganvas import pictures
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.priors import build_prior, code_source
from ganvas.engine.runs import Run, load_run, pick_device
from ganvas.engine.settings import SampleSettings
from ganvas.errors import ConfigError, RunError
from ganvas.evaluation.priors import NormalPrior, OwnPrior, Prior
from ganvas.models.view import ModelView, cut
from ganvas.protocols import Conditional

BATCH = 256
LONGEST = 40
"""Characters of a file name that list classes."""


def sample(settings: SampleSettings) -> Path:
    """Draw and write; the file or folder written.

    The images depend on the checkpoint, `n`, `seed`, `y`, `prior` and `truncation` alone, not on
    the batches they are made in.

    Raises:
        GanvasError: if the run can't be used, its model draws no such samples, or `out` can't be
            written.
    """
    _check_out(settings)
    run = load_run(settings.run, trust=settings.trust)
    prior = build_prior(settings.prior, trust=settings.trust)
    device = pick_device(settings.accelerator)
    view = run.load_model(settings.checkpoint, device=str(device))
    with torch.no_grad():
        codes = _codes(prior, run, view, settings)
        labels = view.class_labels(settings.n, settings.y)
        images = torch.cat(
            [
                view.sample(len(z), noise=z, y=None if labels is None else labels[i : i + BATCH])
                for i, z in zip(range(0, settings.n, BATCH), codes.split(BATCH), strict=True)
            ]
        ).cpu()
    if not images.isfinite().all():
        raise RunError(
            "the model makes NaN or infinite images; its weights have diverged, choose an earlier "
            "checkpoint"
        )
    name = _name(
        settings, prior=prior.name, used=checkpoint_path(run.path, settings.checkpoint).stem
    )
    out = Path(settings.out).expanduser() if settings.out else run.place.file("samples", name)
    columns = _columns(len(images), view, asked=settings.y)
    try:
        _write(images, out, kind=settings.format, columns=columns)
    except OSError as error:
        raise RunError(f"out={out}: can't be written ({error.strerror}); choose another") from error
    return out


def _check_out(settings: SampleSettings) -> None:
    """A grid's file names a format of pictures.

    Raises:
        ConfigError: if it names none.
    """
    suffix = Path(settings.out or "a.png").suffix.lower()
    if settings.format == "grid" and Image.registered_extensions().get(suffix) not in Image.SAVE:
        raise ConfigError(
            f"out={settings.out}: a grid is a picture; give a name that ends in .png, or choose "
            "format=png (a folder) or format=npz"
        )


def _codes(prior: Prior, run: Run, view: ModelView, settings: SampleSettings) -> torch.Tensor:
    """From the chosen prior, on the model's device."""
    num, seed, truncation = settings.n, settings.seed, settings.truncation
    if isinstance(prior, OwnPrior):
        return view.prior_codes(num, seed=seed, truncation=truncation)
    other = None if isinstance(prior, NormalPrior) else f"prior={prior.name}"
    cut(torch.zeros(1), truncation, other=other)  # refused before anything is fitted
    file = checkpoint_path(run.path, settings.checkpoint)
    source = code_source(prior, view.module, folder=run.path, checkpoint=file, data=run.data)
    codes = source.codes(num, seed=seed).to(view.module.device)
    return cut(codes, truncation, other=other)


def _name(settings: SampleSettings, *, prior: str, used: str) -> str:
    """A file name that says what was drawn; of many classes, how many and a digest."""
    parts = ["drawn", used, f"n{settings.n}", f"seed{settings.seed}"]
    if prior != "model":
        parts.append(prior)
    if settings.y is not None:
        classes = [settings.y] if isinstance(settings.y, int) else settings.y
        listed = "-".join(str(k) for k in classes)
        if len(listed) > LONGEST:
            digest = blake2b(listed.encode(), digest_size=4).hexdigest()
            listed = f"{len(classes)}classes-{digest}"
        parts.append(f"y{listed}")
    if settings.truncation is not None:
        parts.append(f"truncation{settings.truncation:g}")
    return "-".join(parts) + {"grid": ".png", "png": "", "npz": ".npz"}[settings.format]


def _columns(num: int, view: ModelView, *, asked: int | list[int] | None) -> int:
    """Of a grid about as wide as high; in that of a conditional model columns are classes."""
    near = int(np.ceil(np.sqrt(num)))
    if isinstance(view.module, Conditional):
        kinds = len(asked) if isinstance(asked, list) else 1 if asked is not None else None
        num_classes = kinds or view.module.num_classes
        return pictures.columns_of_classes(num, num_classes=num_classes, near=near)
    return near


def _write(images: torch.Tensor, out: Path, *, kind: str, columns: int) -> None:
    """In 8 bits; but points of the plane, which would lose too much, as float32."""
    points = pictures.are_points(images)
    if kind == "png":
        if points:
            raise RunError("format=png: points are no images; choose format=grid or format=npz")
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
            kept = images.numpy() if points else pictures.to_uint8(images)
            np.savez_compressed(file, images=kept.transpose(0, 2, 3, 1))
    else:
        Image.fromarray(pictures.grid(images, columns=columns)).save(out)
